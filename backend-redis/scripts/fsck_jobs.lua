-- Looks whether jobs are where a claim, a promotion, a reap or a person would find them. ARGV: '1' to repair, number of kinds, then
-- for each job its id, the id of the lease under which it was last seen ('' if none) and the index of that lease among KEYS.
-- KEYS: the lanes of all kinds, the leases. Answers how many were looked at, were nowhere, were in two places, and how many leases
-- nobody would have ended; or a number: the client knows too few kinds.
local repair, kinds = ARGV[1] == '1', tonumber(ARGV[2])
local bad = wrong_type(1, HEAD) or wrong_type(HEAD + 1, HEAD + kinds, 'zset') or wrong_type(HEAD + kinds + 1, #KEYS, 'hash')
if bad then return bad end
local looked, nowhere, twice, endless = 0, 0, 0, 0

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

local function put_back(handle)
  nowhere = nowhere + 1
  if repair then redis.call('ZADD', lane_of(handle), whole(priority_of(handle) * PRIORITY + draw(1)), handle) end
end

local function keep_one(places, handle, from)
  if #places < from then return end
  twice = twice + 1
  for i = from, #places do
    if repair then redis.call('ZREM', places[i], handle) end
  end
end

local function look(id, lease, key)
  local job = redis.call('HGET', J, id)
  local run = redis.call('HGET', RUN, id)
  -- Gone, or claimed by another since it was seen: somebody takes care of it.
  if not job or (run or '') ~= lease then return end
  looked = looked + 1
  local handle = handle_of(id, job)
  local places = places_of(handle)
  if not run then
    if #places == 0 then put_back(handle) else keep_one(places, handle, 2) end
  elseif is_held(key, handle) then
    keep_one(places, handle, 1)
    if not redis.call('ZSCORE', X, lease) then
      endless = endless + 1
      if repair then redis.call('ZADD', X, whole(now_ms()), lease) end
    end
  else
    if repair then redis.call('HDEL', RUN, id) end
    if #places == 0 then put_back(handle) else keep_one(places, handle, 2) end
  end
end

for i = 3, #ARGV, 3 do
  local job = redis.call('HGET', J, ARGV[i])
  if job and kind_of(handle_of(ARGV[i], job)) > kinds then return kind_of(handle_of(ARGV[i], job)) end
end
for i = 3, #ARGV, 3 do look(ARGV[i], ARGV[i + 1], KEYS[tonumber(ARGV[i + 2])]) end
return { looked, nowhere, twice, endless }
