-- Takes an id out of the indexes, if there is no log of it.
--
-- KEYS  the due index, the index of what is kept for ever, the key of the log.
--
-- Returns 1 if it was in one of them and is not any more, 0 if it was in none, -1 if there is a log (or something else) under
-- its key: then nothing is changed.

if redis.call('EXISTS', KEYS[3]) == 1 then
  return -1
end
local id = string.sub(KEYS[3], -32)
local gone = redis.call('ZREM', KEYS[1], id) + redis.call('ZREM', KEYS[2], id)
return gone > 0 and 1 or 0
