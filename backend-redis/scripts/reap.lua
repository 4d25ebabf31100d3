-- Ends leases that have expired. ARGV: receipt ms, channel, queue name, poison limit, number of leases, their ids. KEYS: the
-- leases, the lanes of all kinds. Answers leases, jobs returned, jobs poisoned, and what homes of limits have to be told (see settle); or
-- a number: the client knows too few kinds.
local leases = tonumber(ARGV[5])
local bad = wrong_head() or wrong_type(HEAD + 1, HEAD + leases, 'hash') or wrong_type(HEAD + leases + 1, #KEYS, 'zset')
if bad then return bad end
local now, poison, kinds = now_ms(), tonumber(ARGV[4]), #KEYS - HEAD - leases
local expired = {}
for no = 1, leases do
  local expires = redis.call('ZSCORE', X, ARGV[5 + no])
  if expires and tonumber(expires) <= now then
    local found = redis.call('HMGET', KEYS[HEAD + no], 'h', 'f', 'c', 'g')
    local lease = { key = KEYS[HEAD + no], id = ARGV[5 + no], class = tonumber(found[3] or 0), slots = found[4] and Slots.read(found[4]) or {}, jobs = {} }
    lease.fates = string.gsub(found[2] or '', '[hc]', 'r')
    for at = 1, #(found[2] or '') do
      local fate = string.sub(found[2], at, at)
      if fate == 'h' or fate == 'c' then
        local handle = handle_at(found[1], at)
        if kind_of(handle) > kinds then return kind_of(handle) end
        lease.jobs[#lease.jobs + 1] = { handle = handle, cancel = fate == 'c' }
      end
    end
    expired[#expired + 1] = lease
  end
end

local returned, poisoned, gone, told = 0, 0, {}, {}
local function back(handle, charged, claims, crashes, class)
  redis.call('HSET', M, id_of(handle), meta(charged, claims, crashes))
  redis.call('ZADD', KEYS[HEAD + leases + kind_of(handle)], whole(class * SUSPECT + priority_of(handle) * PRIORITY + draw(1)), handle)
  returned = returned + 1
end

local function bring_back(job, class)
  local id = id_of(job.handle)
  local stored = redis.call('HGET', J, id)
  redis.call('HDEL', RUN, id)
  if job.cancel or not stored then
    gone[#gone + 1] = id
    return
  end
  local charged, claims, crashes = meta_of(redis.call('HGET', M, id))
  claims = claims + 1
  if class == 0 then return back(job.handle, charged, claims, crashes, 1) end
  crashes = crashes + 1
  if class == 2 then
    charged = charged + 1
    local max = max_attempts_of(stored)
    if crashes >= poison then
      bury(job.handle, charged, claims, crashes, 'poisoned', now)
      poisoned = poisoned + 1
      return
    end
    if max ~= UNLIMITED and charged >= max then
      return bury(job.handle, charged, claims, crashes, 'exhausted', now)
    end
  end
  back(job.handle, charged, claims, crashes, 2)
end

if #expired > 0 then write_even_if_full() end
for _, lease in ipairs(expired) do
  for _, job in ipairs(lease.jobs) do bring_back(job, lease.class) end
  for _, slot in ipairs(lease.slots) do told[#told + 1] = { slot.name, lease.id .. Slots.shard, 0 } end
  redis.call('ZREM', X, lease.id)
  redis.call('ZREM', XI, lease.id)
  if redis.call('EXISTS', lease.key) == 1 then
    redis.call('HSET', lease.key, 'f', lease.fates, 'n', 0)
    redis.call('HDEL', lease.key, 'g')
    redis.call('PEXPIRE', lease.key, ARGV[1])
  end
end
finish(gone)
keep_lines()
if returned > 0 then wake(ARGV[2], ARGV[3]) end
return { #expired, returned, poisoned, told }
