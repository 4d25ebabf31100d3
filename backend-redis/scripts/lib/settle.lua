-- ARGV from `a`: receipt ms, channel, queue name, number of leases, number of kinds (0 unless a job is released), number of other
-- verdicts, number of follow-ups; for each lease the completed jobs (place there as 2 bytes, id); for each other verdict lease,
-- place, id, what, delay ms or reason, error; for each follow-up the number of its verdict, its id, and itself.
-- KEYS from `k`: the leases, then the lanes of all kinds. The answer: for each lease a letter for each completed job, then
-- the letters of the other verdicts: A applied, R repeated, S stale. Or a number: the client knows too few kinds.

local KEPT_FIRST, KEPT_LAST = 2, 8

-- Failures are kept one after the other: attempt (4 bytes), time (8), length (4), text.
local function with_error(kept, attempt, now, text)
  local list, at = {}, 1
  while kept and at <= #kept do
    local size = 16 + struct.unpack('>I4', kept, at + 12)
    list[#list + 1] = string.sub(kept, at, at + size - 1)
    at = at + size
  end
  if #list >= KEPT_FIRST + KEPT_LAST then table.remove(list, KEPT_FIRST + 1) end
  list[#list + 1] = struct.pack('>I4I8I4', attempt, now, #text) .. text
  return table.concat(list)
end

local HELD, ASKED, SETTLED, REAPED = string.byte('hcsr', 1, 4)

local function lease_at(k, no)
  local found = redis.call('HMGET', KEYS[k + no - 1], 'h', 'f', 'n')
  local lease = { key = KEYS[k + no - 1], no = no, handles = found[1], fates = {}, held = tonumber(found[3] or 0), gone = 0 }
  if found[2] then
    for from = 1, #found[2], ROOM do
      for i, fate in ipairs({ string.byte(found[2], from, from + ROOM - 1) }) do lease.fates[from + i - 1] = fate end
    end
  end
  return lease
end

-- Decides about one verdict: the letter, and the handle and fate of the job if it is held.
local function judge(lease, place, id)
  local fate = lease.fates[place + 1]
  if not fate or string.sub(lease.handles, place * HANDLE + 1, place * HANDLE + 16) ~= id then return 'S' end
  if fate == SETTLED then return 'R' end
  if fate == REAPED then return 'S' end
  lease.fates[place + 1] = SETTLED
  lease.gone = lease.gone + 1
  return 'A', string.sub(lease.handles, place * HANDLE + 1, (place + 1) * HANDLE), fate
end

local function keep_fates(lease, receipt_ms, lease_id)
  if lease.gone == 0 then return end
  local text = {}
  for from = 1, #lease.fates, ROOM do
    text[#text + 1] = string.char(unpack(lease.fates, from, math.min(#lease.fates, from + ROOM - 1)))
  end
  local held = lease.held - lease.gone
  redis.call('HSET', lease.key, 'f', table.concat(text), 'n', held)
  if held <= 0 then
    redis.call('PEXPIRE', lease.key, receipt_ms)
    redis.call('ZREM', X, lease_id)
    redis.call('ZREM', XI, lease_id)
  end
end

-- Applies a verdict other than completion to a job that its lease has let go of.
local function apply(verdict, lanes, now)
  local handle, id, what = verdict.handle, id_of(verdict.handle), verdict.what
  local charged, claims, crashes = meta_of(redis.call('HGET', M, id))
  claims = claims + 1
  if what == 'retry' or what == 'dead' then
    redis.call('HSET', E, id, with_error(redis.call('HGET', E, id), charged + 1, now, verdict.error))
    charged = charged + 1
  end
  if what == 'dead' then
    bury(handle, charged, claims, crashes, verdict.detail, now)
  elseif what == 'retry' and verdict.max ~= UNLIMITED and charged >= verdict.max then
    bury(handle, charged, claims, crashes, 'exhausted', now)
  else
    redis.call('HSET', M, id, meta(charged, claims, 0))
    if what == 'release' then
      redis.call('ZADD', lanes[kind_of(handle)], whole(priority_of(handle) * PRIORITY + draw(1)), handle)
    else
      redis.call('ZADD', what == 'retry' and WR or WS, whole(now + tonumber(verdict.detail)), handle)
    end
  end
end

local function read_verdicts(a, count, leases)
  local verdicts = {}
  for i = 1, count do
    local at = a + (i - 1) * 6
    local verdict = { what = ARGV[at + 3], detail = ARGV[at + 4], error = ARGV[at + 5] }
    local lease = leases[tonumber(ARGV[at])]
    local fate
    verdict.letter, verdict.handle, fate = judge(lease, tonumber(ARGV[at + 1]), ARGV[at + 2])
    if verdict.handle then
      local back = verdict.what == 'retry' or verdict.what == 'snooze' or verdict.what == 'release'
      local job = redis.call('HGET', J, ARGV[at + 2])
      -- A job that was asked to stop does not come back, and neither does one that is not there.
      if not job or (fate == ASKED and back) then verdict.what = 'end' end
      verdict.max = job and max_attempts_of(job)
    end
    verdicts[i] = verdict
  end
  return verdicts
end

-- Letters of the verdicts, or how many kinds the client has to know.
local function settle(a, k)
  local receipt_ms, channel, queue, leases, kinds, others, follow_ups = unpack(ARGV, a, a + 6)
  leases, kinds, others, follow_ups = tonumber(leases), tonumber(kinds), tonumber(others), tonumber(follow_ups)
  local letters, gone, held = {}, {}, {}
  local now = now_ms()
  for no = 1, leases do
    local lease, list, packed = lease_at(k, no), {}, ARGV[a + 6 + no]
    held[no] = lease
    for at = 1, #packed, 18 do
      local high, low = string.byte(packed, at, at + 1)
      local id = string.sub(packed, at + 2, at + 17)
      local letter = judge(lease, high * 256 + low, id)
      list[#list + 1] = letter
      if letter == 'A' then gone[#gone + 1] = id end
    end
    letters[no] = table.concat(list)
  end
  local verdicts = read_verdicts(a + 7 + leases, others, held)
  local list, lanes, all_gone = {}, {}, gone
  for i = 1, kinds do lanes[i] = KEYS[k + leases + i - 1] end
  for i, verdict in ipairs(verdicts) do
    list[i] = verdict.letter
    if verdict.handle then
      if verdict.what == 'release' and kind_of(verdict.handle) > kinds then return kind_of(verdict.handle) end
      if verdict.what == 'end' then gone[#gone + 1] = id_of(verdict.handle) end
    end
  end
  letters[leases + 1] = table.concat(list)

  write_even_if_full()
  local running, released = {}, false
  for i = 1, #gone do running[i] = gone[i] end
  for _, verdict in ipairs(verdicts) do
    if verdict.handle and verdict.what ~= 'end' then
      running[#running + 1] = id_of(verdict.handle)
      apply(verdict, lanes, now)
      released = released or verdict.what == 'release'
    end
  end
  many('HDEL', RUN, running)
  finish(gone)
  local ids_at = a + 7 + leases + 6 * others + 3 * follow_ups
  for no = 1, leases do keep_fates(held[no], receipt_ms, ARGV[ids_at + no - 1]) end
  for i = 1, follow_ups do
    local at = a + 7 + leases + 6 * others + 3 * (i - 1)
    local verdict = verdicts[tonumber(ARGV[at])]
    if verdict.letter == 'A' then redis.call('HSET', O, ARGV[at + 1], ARGV[at + 2]) end
  end
  if released then wake(channel, queue) end
  return letters
end

-- How many of ARGV from `a` are those of a settlement.
local function settle_args(a)
  return 7 + 2 * tonumber(ARGV[a + 3]) + 6 * tonumber(ARGV[a + 5]) + 3 * tonumber(ARGV[a + 6])
end
