-- Appends to many logs, each on its own condition and with its own answer.
--
-- KEYS  the due index, the index of what is kept for ever, then the log of each write; no log comes twice.
-- ARGV  how many runs there are: a run is some writes, one after the other, of the same kind
--       two for each run:
--         what   a letter and a number: what kind it is, and when the logs are due next
--                               there must be    the entry follows    it takes the place
--                               no log           what is there        of what is there
--                  due            b                d                    D      this many microseconds from now
--                  as before                       k                    K
--                  finished       x                f                    F      and kept for this many milliseconds
--                  kept           y                e                    E      for ever
--                and  c  as d, on the further condition that the log is due now: a claim
--         count  how many writes it has
--       ends    the trailers that the logs must end with, of all writes but those of b, x and y, as one text
--       then the entry of each write: its text with its trailer
--
-- Returns one letter for each write: = done, c conflict, n no log, g garbage, r refused. If any was refused, a line break
-- and the server's reason follow.
--
-- Order: all checks; then what puts logs into the indexes; then the logs; then what takes them out. So whatever fails, and
-- the server may refuse any command (memory, permissions, a replica), no log is unfinished without being in the due index:
-- the worst that is left behind is an id in it whose log is finished or missing, and a claim copes with that. A refusal of
-- the first write, where Redis checks its memory, leaves nothing at all behind.
--
-- Speed: a command costs more than all that is done with its answer, and every string that Lua sees is hashed and kept. So
-- what can be asked once for many is, trailers are compared all at once, and each by itself only if that has failed. A
-- number given to a command is written out with 17 digits: hence '-27'.

local ask, sub, type = redis.pcall, string.sub, type -- locals: a global is looked up at each use
local KEYS, ARGV = KEYS, ARGV
local due, kept = KEYS[1], KEYS[2]
local runs = tonumber(ARGV[1])
local ends = ARGV[2 * runs + 2]
local entries = 2 * runs -- ARGV[entries + i] is the entry for KEYS[i]

-- Of each run: its letter, its time as commands take it, and its last key. The first run begins with the third key.
local letters, times, lasts = {}, {}, {}
local now, last = nil, 2
for run = 1, runs do
  local what = ARGV[2 * run]
  local letter, time = sub(what, 1, 1), sub(what, 2)
  if letter == 'b' or letter == 'd' or letter == 'D' or letter == 'c' then
    if not now then
      local clock = redis.call('TIME')
      now = clock[1] * 1000000 + clock[2]
    end
    time = string.format('%.0f', now + time)
  end
  last = last + ARGV[2 * run + 1]
  letters[run], times[run], lasts[run] = letter, time, last
end

local answers = {} -- by key: of those that are not to be done, or were refused
local all = true -- whether there is none of them

-- 1. The checks.
local tails, count = {}, 0 -- the ends of the logs, where ends are expected
local absent = true -- whether there is no log where there must be none
local first = 3
for run = 1, runs do
  local letter, last = letters[run], lasts[run]
  if letter == 'b' or letter == 'x' or letter == 'y' then
    absent = redis.call('EXISTS', unpack(KEYS, first, last)) == 0 and absent
  else
    for i = first, last do
      count = count + 1
      tails[count] = ask('GETRANGE', KEYS[i], '-27', '-1')
    end
  end
  first = last + 1
end

-- None is longer than a trailer: if all are right together, so is each. With an error, which is a table, they can't be
-- joined, and the text is what Lua says about that.
local _, text = pcall(table.concat, tails)
if not (absent and text == ends) then
  count, first = 0, 3
  for run = 1, runs do
    local letter = letters[run]
    local begins = letter == 'b' or letter == 'x' or letter == 'y'
    for i = first, lasts[run] do
      local tail, right
      if begins then
        right = redis.call('EXISTS', KEYS[i]) == 0
        tail = not right and ask('GETRANGE', KEYS[i], '-27', '-1')
      else
        count = count + 1
        tail = tails[count]
        right = tail == sub(ends, 27 * count - 26, 27 * count)
      end
      if right then
        answers[i] = nil
      elseif type(tail) == 'table' then
        answers[i] = 'g'
      elseif tail == sub(ARGV[entries + i], -27) then
        answers[i] = '=' -- a repeat: nothing is to be done
      elseif tail == '' then
        answers[i] = redis.call('EXISTS', KEYS[i]) == 1 and 'g' or 'n'
      else
        answers[i] = string.find(tail, '^ %x%x%x%x%x%x%x%x %x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x\n$') and 'c' or 'g'
      end
    end
    first = lasts[run] + 1
  end
end

first = 3
for run = 1, runs do
  if letters[run] == 'c' then
    for i = first, lasts[run] do
      if not answers[i] then
        -- It was due when the claimer looked; another may have claimed it before the claimer read it.
        local score = ask('ZSCORE', due, sub(KEYS[i], -32))
        if type(score) ~= 'string' or tonumber(score) > now then
          answers[i] = 'c'
        end
      end
    end
  end
  first = lasts[run] + 1
end
all = next(answers) == nil

-- 2. Into the indexes.
local begun, others, keep -- score, id, score, id ...
first = 3
for run = 1, runs do
  local letter, score = letters[run], times[run]
  local list
  if letter == 'b' then
    begun = begun or {}
    list = begun
  elseif letter == 'd' or letter == 'D' or letter == 'c' then
    others = others or {}
    list = others
  elseif letter == 'e' or letter == 'E' or letter == 'y' then
    keep = keep or {}
    list, score = keep, '0'
  end
  if list then
    local n = #list
    for i = first, lasts[run] do
      if all or not answers[i] then
        list[n + 1] = score
        n = n + 2
        list[n] = sub(KEYS[i], -32)
      end
    end
  end
  first = lasts[run] + 1
end

local back = 0 -- how many have come back that were not due: they may have a time to live, or be kept
local reply
if begun and #begun > 0 then
  reply = ask('ZADD', due, unpack(begun))
end
if others and #others > 0 and type(reply) ~= 'table' then
  reply = ask('ZADD', due, unpack(others))
  back = reply
end
if keep and #keep > 0 and type(reply) ~= 'table' then
  reply = ask('ZADD', kept, unpack(keep))
end
if type(reply) == 'table' then
  return redis.error_reply('REFUSED ' .. reply.err)
end

-- 3. The logs.
local why
first = 3
for run = 1, runs do
  local letter, time, last = letters[run], times[run], lasts[run]
  local appends = letter == 'k' or letter == 'c' or (letter == 'd' and back == 0)
  local from, reply = first, nil
  if letter == 'b' then -- all at once; if that is refused, each of them is
    local list, n = {}, 0
    for i = first, last do
      if all or not answers[i] then
        list[n + 1] = KEYS[i]
        n = n + 2
        list[n] = ARGV[entries + i]
      end
    end
    reply = n > 0 and ask('MSET', unpack(list)) or { ok = true }
    if reply.ok then
      from = last + 1
    end
  end
  for i = from, last do
    if all or not answers[i] then
      local key, entry = KEYS[i], ARGV[entries + i]
      if appends then
        reply = ask('APPEND', key, entry)
      elseif letter == 'F' or letter == 'x' then
        reply = ask('SET', key, entry, 'PX', time)
      elseif letter == 'D' or letter == 'E' or letter == 'y' then
        reply = ask('SET', key, entry)
      elseif letter == 'K' then
        reply = ask('SET', key, entry, 'KEEPTTL')
      elseif letter == 'f' then
        reply = ask('APPEND', key, entry)
        if type(reply) ~= 'table' then
          ask('PEXPIRE', key, time)
        end
      elseif letter ~= 'b' then -- d, e
        reply = ask('PERSIST', key)
        if type(reply) ~= 'table' then
          reply = ask('APPEND', key, entry)
        end
      end
      if type(reply) == 'table' and reply.err then
        answers[i], why = 'r', reply.err
      end
    end
  end
  first = last + 1
end
all = next(answers) == nil

-- 4. Out of the indexes.
local finished, never
first = 3
for run = 1, runs do
  local letter = letters[run]
  local list
  if letter == 'F' or letter == 'f' or letter == 'x' then
    finished = finished or {}
    list = finished
  elseif letter == 'E' or letter == 'e' or letter == 'y' then
    never = never or {}
    list = never
  end
  if list then
    local n = #list
    for i = first, lasts[run] do
      if all or not answers[i] then
        n = n + 1
        list[n] = sub(KEYS[i], -32)
      end
    end
  end
  first = lasts[run] + 1
end
if never and #never > 0 then
  ask('ZREM', due, unpack(never))
end
if finished and #finished > 0 and ask('ZREM', due, unpack(finished)) ~= #finished then
  ask('ZREM', kept, unpack(finished)) -- one was not due: it may have been kept
end
if back > 0 then
  local ids = {}
  for i = 2, #others, 2 do
    ids[i / 2] = others[i]
  end
  ask('ZREM', kept, unpack(ids))
end

if all then
  return string.rep('=', #KEYS - 2)
end
local told = {}
for i = 3, #KEYS do
  told[i - 2] = answers[i] or '='
end
return table.concat(told) .. (why and '\n' .. why or '')
