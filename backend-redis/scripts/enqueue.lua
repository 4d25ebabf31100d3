-- Stores jobs of one queue. ARGV: receipt ms, channel, queue name, number of kinds, their names, their numbers as the client
-- knows them (0: not at all), number of jobs, then handle and record of each, then for each job with options: its
-- number, when ('', 'd' delay ms, 'a' instant ms), index of its idempotency key among KEYS (0: none), window ms, unique key.
-- KEYS: receipt, one lane for each kind, idempotency keys. Answers 0 and the holders of taken keys (16 bytes a job, or
-- '' if every job was stored), or 1 and the numbers of the kinds.
local kinds, at = tonumber(ARGV[4]), 5
local REQUEST, LANES = HEAD + 1, HEAD + 1
local bad = wrong_type(1, HEAD) or wrong_type(REQUEST, REQUEST, 'string')
  or wrong_type(LANES + 1, LANES + kinds, 'zset') or wrong_type(LANES + kinds + 1, #KEYS, 'string')
if bad then return bad end

local first = at + 2 * kinds + 1
local jobs = tonumber(ARGV[first - 1])
local known = redis.call('GET', KEYS[REQUEST])
if known then
  local before = tonumber(string.match(known, '^%d+'))
  if before ~= jobs then return redis.error_reply('REJECTED a job was enqueued before in a batch of another size') end
  return { 0, string.sub(known, #tostring(before) + 2) }
end

local numbers, lane_of, differs = {}, {}, false
local stored = redis.call('HMGET', KINDS, unpack(ARGV, at, at + kinds - 1))
for i = 1, kinds do
  numbers[i] = tonumber(stored[i] or 0)
  if numbers[i] == 0 or numbers[i] ~= tonumber(ARGV[at + kinds + i - 1]) then differs = true end
  lane_of[numbers[i]] = KEYS[LANES + i]
end
if differs then
  local count = redis.call('HLEN', KINDS)
  for i = 1, kinds do
    if numbers[i] == 0 then
      count = count + 1
      if count > 65535 then return redis.error_reply('REJECTED a queue has at most 65535 kinds') end
      redis.call('HSET', KINDS, ARGV[at + i - 1], count)
      numbers[i] = count
    end
  end
  return { 1, numbers }
end

local now = now_ms()
local ids = {}
for i = 1, jobs do ids[i] = id_of(ARGV[first + 2 * (i - 1)]) end
local live = read_many(J, ids)
local holders, due, taken, unique, windows = {}, {}, {}, {}, {}
local claimed = {}
for option = first + 2 * jobs, #ARGV, 5 do
  local i = tonumber(ARGV[option])
  if not live[i] then
    local when, key, field = ARGV[option + 1], KEYS[tonumber(ARGV[option + 2])], ARGV[option + 4]
    local same = key and (taken[key] or redis.call('GET', key))
    local holder = same or (field ~= '' and (claimed[field] or redis.call('HGET', U, field))) or nil
    -- A request that another job answers is answered by it again.
    if key and not same then
      taken[key] = holder or ids[i]
      windows[key] = ARGV[option + 3]
    end
    if holder then
      holders[i] = holder
    else
      if field ~= '' then
        claimed[field] = ids[i]
        unique[ids[i]] = field
      end
      if when ~= '' then
        local time = tonumber(string.sub(when, 2)) + (string.sub(when, 1, 1) == 'd' and now or 0)
        if time > now then due[i] = time end
      end
    end
  end
end

local answer = ''
if next(holders) then
  local answers = {}
  for i = 1, jobs do answers[i] = holders[i] or string.rep('\0', 16) end
  answer = table.concat(answers)
end
-- First, for it is refused if there is no memory, and then nothing has been written.
redis.call('SET', KEYS[REQUEST], jobs .. ' ' .. answer, 'PX', ARGV[1])
for key, holder in pairs(taken) do
  if tonumber(windows[key]) > 0 then redis.call('SET', key, holder, 'PX', windows[key]) end
end
for id, field in pairs(unique) do
  redis.call('HSET', U, field, id)
  redis.call('HSET', V, id, field)
end
local seq, records, lanes = draw(jobs), {}, {}
local stamp = whole(now)
for i = 1, jobs do
  if not live[i] and not holders[i] then
    local handle = ARGV[first + 2 * (i - 1)]
    records[#records + 1] = ids[i]
    records[#records + 1] = stamp .. ARGV[first + 2 * i - 1]
    if due[i] then
      redis.call('ZADD', WS, whole(due[i]), handle)
    else
      local kind = kind_of(handle)
      local lane = lanes[kind]
      if not lane then
        lane = {}
        lanes[kind] = lane
      end
      lane[#lane + 1] = whole(priority_of(handle) * PRIORITY + FRESH + seq + i - 1)
      lane[#lane + 1] = handle
    end
  end
end
many('HSET', J, records)
local news = false
for kind, list in pairs(lanes) do
  news = news or redis.call('ZCOUNT', lane_of[kind], '-inf', '(' .. whole(SUSPECT)) == 0
  many('ZADD', lane_of[kind], list)
end
if news then wake(ARGV[2], ARGV[3]) end
return { 0, answer }
