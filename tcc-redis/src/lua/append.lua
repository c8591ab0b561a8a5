-- Appends to many logs, each on its own condition and with its own answer.
--
-- KEYS  the due index, the index of what is kept for ever, then the log of each write; a log may come more than once.
-- ARGV  three for each write:
--         what      a letter and a number: when the log is due next, and whether the entry follows (lower case) or
--                   takes the place of what is there (upper case)
--                     k  as before                d  this many microseconds from now
--                     f  never; it is kept for this many milliseconds      e  never; it is kept for ever
--                   and  c  as d, on the further condition that the log is due now: a claim
--         expected  the trailer the log must end with; empty if there must be no log
--         entry     the entry's text with its trailer
--
-- Returns one letter for each write: = done, c conflict, n no log, g garbage, r refused. If any was refused, a line break
-- and the server's reason follow.
--
-- Order: all checks; then what puts logs into the indexes; then the logs; then what takes them out. So whatever fails, and
-- the server may refuse any command (memory, permissions, a replica), no log is unfinished without being in the due index:
-- the worst that is left behind is an id in it whose log is finished or missing, and a claim copes with that. A refusal of
-- the first write, where Redis checks its memory, leaves nothing at all behind.

local pcall, sub, byte = redis.pcall, string.sub, string.byte
local TRAILER = 27 -- a space, 8 digits, a space, 16 digits, a line break

local due, kept = KEYS[1], KEYS[2]
local writes = #KEYS - 2
local answers = {}
local ends = {} -- the trailer of each log once this batch is applied
local again = {} -- logs that this batch writes more than once
local fresh = {} -- logs that begin in this batch
local at = {} -- when each log is due after this batch: a time, 'f' or 'e'; nothing: as before
local scheduled = false
local why

local now
local function clock()
  if not now then
    local time = redis.call('TIME')
    now = time[1] * 1000000 + time[2]
  end
  return now
end

-- 1. The checks.
for i = 1, writes do
  local key, what, expected, entry = KEYS[i + 2], ARGV[3 * i - 2], ARGV[3 * i - 1], ARGV[3 * i]
  local tail = ends[key]
  local seen = tail ~= nil
  if not seen then
    tail = pcall('GETRANGE', key, -TRAILER, -1)
  end
  local letter = byte(what)
  local due_now = true
  if letter == 99 and tail == expected then -- c
    -- It was due when the claimer looked; another may have claimed it before the claimer read it.
    local score = pcall('ZSCORE', due, sub(key, -32))
    due_now = type(score) == 'string' and tonumber(score) <= clock()
  end
  if tail == expected and due_now then
    answers[i] = '='
    ends[key] = sub(entry, -TRAILER)
    if seen then
      again[key] = true
    elseif expected == '' then
      fresh[key] = true
    end
    if letter == 100 or letter == 68 or letter == 99 then -- d, c
      at[key] = clock() + tonumber(sub(what, 2))
      scheduled = true
    elseif letter == 107 or letter == 75 then -- k
      if expected == '' then
        at[key] = clock()
        scheduled = true
      end
    else
      at[key] = (letter == 102 or letter == 70) and 'f' or 'e'
      scheduled = true
    end
  elseif not due_now then
    answers[i] = 'c'
  elseif type(tail) == 'table' then
    answers[i] = 'g'
  elseif tail == sub(entry, -TRAILER) then
    answers[i] = seen and 'P' or 'R' -- a repeat, of a write of this batch or of one before: nothing is to be done
  elseif tail == '' then
    answers[i] = redis.call('EXISTS', key) == 1 and 'g' or 'n'
  else
    answers[i] = string.find(tail, '^ %x%x%x%x%x%x%x%x %x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x\n$') and 'c' or 'g'
  end
end

-- 2. Into the indexes.
local function refuse(reply)
  return redis.error_reply('REFUSED ' .. reply.err)
end

local back = false -- whether a log has come back that was not due: it may have a time to live, or be kept
local olds = {}
if scheduled then
  local begun, others, keep = {}, {}, {}
  for key, time in pairs(at) do
    local id = sub(key, -32)
    if time == 'e' then
      keep[#keep + 1] = 0
      keep[#keep + 1] = id
    elseif time ~= 'f' then
      local list = fresh[key] and begun or others
      list[#list + 1] = time
      list[#list + 1] = id
      if list == others then
        olds[#olds + 1] = id
      end
    end
  end
  if #begun > 0 then
    local reply = pcall('ZADD', due, unpack(begun))
    if type(reply) == 'table' then
      return refuse(reply)
    end
  end
  if #others > 0 then
    local reply = pcall('ZADD', due, unpack(others))
    if type(reply) == 'table' then
      return refuse(reply)
    end
    back = reply > 0
  end
  if #keep > 0 then
    local reply = pcall('ZADD', kept, unpack(keep))
    if type(reply) == 'table' then
      return refuse(reply)
    end
  end
end

-- 3. The logs.
local failed = {}
for i = 1, writes do
  if answers[i] == 'R' then
    answers[i] = '='
  elseif answers[i] == 'P' then
    answers[i] = failed[KEYS[i + 2]] and 'r' or '='
  elseif answers[i] == '=' then
    local key, what, expected, entry = KEYS[i + 2], ARGV[3 * i - 2], ARGV[3 * i - 1], ARGV[3 * i]
    local letter = byte(what)
    local reply
    if failed[key] then
      reply = failed[key]
    elseif expected == '' then
      reply = pcall('SET', key, entry, 'NX')
      if reply == false then
        reply = { err = 'there is an empty string under the key of a log' }
      elseif letter == 102 or letter == 70 then
        pcall('PEXPIRE', key, sub(what, 2))
      end
    elseif letter == 107 or letter == 100 or letter == 99 then -- k, d, c
      if letter == 100 and (back or again[key]) then
        reply = pcall('PERSIST', key)
      end
      if type(reply) ~= 'table' then
        reply = pcall('APPEND', key, entry)
      end
    elseif letter == 102 then -- f
      reply = pcall('APPEND', key, entry)
      if type(reply) ~= 'table' then
        pcall('PEXPIRE', key, sub(what, 2))
      end
    elseif letter == 101 then -- e
      reply = pcall('PERSIST', key)
      if type(reply) ~= 'table' then
        reply = pcall('APPEND', key, entry)
      end
    elseif letter == 75 then -- K
      reply = pcall('SET', key, entry, 'KEEPTTL')
    elseif letter == 70 then -- F
      reply = pcall('SET', key, entry, 'PX', sub(what, 2))
    else -- D, E
      reply = pcall('SET', key, entry)
    end
    if type(reply) == 'table' and reply.err then
      answers[i] = 'r'
      failed[key] = reply
      why = reply.err
    end
  end
end

-- 4. Out of the indexes.
if scheduled then
  local done, finished = {}, {}
  for key, time in pairs(at) do
    if not failed[key] and type(time) ~= 'number' then
      local id = sub(key, -32)
      done[#done + 1] = id
      if time == 'f' then
        finished[#finished + 1] = id
      end
    end
  end
  if #done > 0 then
    local gone = pcall('ZREM', due, unpack(done))
    if gone ~= #done and #finished > 0 then
      pcall('ZREM', kept, unpack(finished)) -- one was not due: it may have been kept
    end
  end
  if back then
    pcall('ZREM', kept, unpack(olds))
  end
end

local answer = table.concat(answers)
if why then
  answer = answer .. '\n' .. why
end
return answer
