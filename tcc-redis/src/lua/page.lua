-- A page of an index, in its order: by score, and by member where scores are equal.
--
-- KEYS  the index.
-- ARGV  how many at most; then, unless it is the first page, the score and the member after which it begins.
--
-- Returns the server's time (seconds, microseconds) and the page: member, score, member, score ...
--
-- The place after which it begins is found by its value, not by its rank, and the member need not be there any more: what
-- stays where it is, is never missed, whatever comes and goes before it. The work grows with the page and with the logarithm
-- of the index.

local index, count = KEYS[1], tonumber(ARGV[1])

-- Redis orders members byte by byte; Lua's own comparison goes by the locale.
local function after(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then
      return x > y
    end
  end
  return #a > #b
end

local first = 0
if ARGV[2] then
  first = redis.call('ZCOUNT', index, '-inf', '(' .. ARGV[2])
  local last = first + redis.call('ZCOUNT', index, ARGV[2], ARGV[2])
  while first < last do
    local middle = math.floor((first + last) / 2)
    if after(redis.call('ZRANGE', index, middle, middle)[1], ARGV[3]) then
      last = middle
    else
      first = middle + 1
    end
  end
end

local time = redis.call('TIME')
return { time[1], time[2], redis.call('ZRANGE', index, first, first + count - 1, 'WITHSCORES') }
