-- Tries every command that the store uses, inside and outside of scripts. Nothing of it stays.
--
-- KEYS  two keys of nobody's; what is put under the first is gone at the end, and nothing is put under the second.
--
-- Returns those that were refused: the command, and the server's reason.

local key, index = KEYS[1], KEYS[2]
local refused = {}

local function try(...)
  local reply = redis.pcall(...)
  if type(reply) == 'table' and reply.err and not string.find(reply.err, 'wrong number of arguments', 1, true) then
    refused[#refused + 1] = (...)
    refused[#refused + 1] = reply.err
  end
end

try('TIME')
try('GET', key)
try('GETRANGE', key, -1, -1)
try('EXISTS', key)
try('ZSCORE', index, 'nobody')
try('ZCOUNT', index, '-inf', '+inf')
try('ZCARD', index)
try('ZRANGE', index, 0, 0)
-- The first that writes needs memory: once a script has written, Redis does not ask for that any more.
try('ZADD', index, 'XX', 0, 'nobody')
try('ZREM', index, 'nobody')
-- A value is missing: that is found after the rights were looked at, and before anything is written. What it writes has no
-- time to live, so it might stay.
try('MSET', key, '', key)
try('PERSIST', key)
try('PEXPIRE', key, 1)
try('SET', key, '', 'PX', 1)
try('APPEND', key, '')
redis.pcall('PEXPIRE', key, 0) -- a time that has passed: it goes at once
return refused
