-- Makes logs that cannot be handed out due again later, so that they hold up no other. Only the index is written.
--
-- KEYS  the due index.
-- ARGV  how long from now, in microseconds; then, for each, the member and the score it was found with: if it has another
--       by now, somebody else has set it, and it stays.

local time = redis.call('TIME')
local later = time[1] * 1000000 + time[2] + tonumber(ARGV[1])
local parked = 0
for i = 2, #ARGV, 2 do
  local score = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if score and tonumber(score) == tonumber(ARGV[i + 1]) then
    redis.call('ZADD', KEYS[1], later, ARGV[i])
    parked = parked + 1
  end
end
return parked
