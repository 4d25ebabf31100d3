-- Looks whether jobs are where a claim, a promotion, a reap or a person would find them. ARGV: '1' to repair, number of kinds, then
-- for each job its id, the id of the lease under which it was last seen ('' if none), the index of that lease among KEYS, and its line ('' if none).
-- KEYS: the lanes of all kinds, the leases. Answers how many were looked at, were nowhere, were in two places, how many leases
-- nobody would have ended, and of how many jobs their lines know something else; or a number: the client knows too few kinds.
local repair, kinds = ARGV[1] == '1', tonumber(ARGV[2])
local bad = wrong_head() or wrong_type(HEAD + 1, HEAD + kinds, 'zset') or wrong_type(HEAD + kinds + 1, #KEYS, 'hash')
if bad then return bad end
local looked, nowhere, twice, endless, strange = 0, 0, 0, 0, 0

local function lane_of(handle) return KEYS[HEAD + kind_of(handle)] end

local function places_of(handle)
  local places = {}
  for _, key in ipairs({ D, C, WR, WS, lane_of(handle) }) do
    if redis.call('ZSCORE', key, handle) then places[#places + 1] = key end
  end
  return places
end

local function is_held(lease, handle)
  local found = redis.call('HMGET', lease, 'h', 'f')
  for at = 1, #(found[2] or '') do
    local fate = string.sub(found[2], at, at)
    if handle_at(found[1], at) == handle and (fate == 'h' or fate == 'c') then return true end
  end
  return false
end

local function put_back(handle, name)
  nowhere = nowhere + 1
  local order = priority_of(handle) * PRIORITY + draw(1)
  if repair then redis.call('ZADD', lane_of(handle), whole(name ~= '' and LINE + order or order), handle) end
end

local function keep_one(places, handle, from)
  if #places < from then return end
  twice = twice + 1
  for i = from, #places do
    if repair then redis.call('ZREM', places[i], handle) end
  end
end

-- Whether the line of a job knows where it is.
local function look_at_line(id, handle, name)
  local letter = Lines.letter_of(id)
  -- One that has completed and is kept is of no line any more.
  if name == '' or redis.call('ZSCORE', C, handle) then return end
  local score = tonumber(redis.call('ZSCORE', lane_of(handle), handle) or 0)
  local line, member = Lines.at(name), nil
  local is = (redis.call('HEXISTS', RUN, id) == 1 or score >= SUSPECT and score < LINE) and 'o' or score >= LINE and 'w' or 'n'
  if is == 'w' then member = name .. struct.pack('>I8', line.head == id and 0 or score - LINE) .. handle end
  local waits = not member or redis.call('ZSCORE', LW, member)
  if letter == is and waits then return end
  strange = strange + 1
  if not repair then return end
  if not waits then
    redis.call('ZADD', LW, 0, member)
    line.waiting = line.waiting + 1
  end
  if line.head == id then line.back = is == 'w' and 1 or 0 end
  line.out = line.out + (is == 'o' and 1 or 0) - (letter == 'o' and 1 or 0)
  line.kind = kind_of(handle)
  Lines.set_letter(id, is, name)
  Lines.touch(line)
end

local function look(id, lease, key, name)
  local job = redis.call('HGET', J, id)
  local run = redis.call('HGET', RUN, id)
  -- Gone, or claimed by another since it was seen: somebody takes care of it.
  if not job or (run or '') ~= lease then return end
  looked = looked + 1
  local handle = handle_of(id, job)
  local places = places_of(handle)
  if not run then
    if #places == 0 then put_back(handle, name) else keep_one(places, handle, 2) end
  elseif is_held(key, handle) then
    keep_one(places, handle, 1)
    if not redis.call('ZSCORE', X, lease) then
      endless = endless + 1
      if repair then redis.call('ZADD', X, whole(now_ms()), lease) end
    end
  else
    if repair then redis.call('HDEL', RUN, id) end
    if #places == 0 then put_back(handle, name) else keep_one(places, handle, 2) end
  end
  look_at_line(id, handle, name)
end

for i = 3, #ARGV, 4 do
  local job = redis.call('HGET', J, ARGV[i])
  if job and kind_of(handle_of(ARGV[i], job)) > kinds then return kind_of(handle_of(ARGV[i], job)) end
end
for i = 3, #ARGV, 4 do look(ARGV[i], ARGV[i + 1], KEYS[tonumber(ARGV[i + 2])], ARGV[i + 3]) end
keep_lines()
return { looked, nowhere, twice, endless, strange }
