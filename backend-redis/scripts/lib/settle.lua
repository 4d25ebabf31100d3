-- ARGV from `a`: receipt ms, channel, queue name, number of leases, number of kinds (0 unless lanes are needed), number of other
-- verdicts, of follow-ups for other places, of follow-ups for here, of idempotency keys, names of limits; for each lease the completed jobs (place
-- there as 2 bytes, id); for each other verdict lease, place, id, what, delay or period in ms or reason, error or result; for each
-- follow-up for elsewhere the number of its verdict, its id, and itself; for each one for here the number of its verdict, handle,
-- record, when, number of its idempotency key (0: none), window ms, unique key, what if one is taken, longest wait, batch, line
-- (see store); then the ids of the leases.
-- KEYS from `k`: the leases, the lanes of all kinds, the idempotency keys, the homes of the limits. The answer: for each lease a letter
-- for each completed job, then the letters of the other verdicts: A applied, R repeated, S stale; then what other homes have to be told,
-- if anything: for each limit its name, the holder, and how many it has left. Or a number: the client knows too few kinds.

local KEPT_FIRST, KEPT_LAST = 2, 8

-- Failures are kept one after the other: attempt (4 bytes), time (8), worker (16), length (4), text.
local function with_error(kept, attempt, now, worker, text)
  local list, at = {}, 1
  while kept and at <= #kept do
    local size = 32 + struct.unpack('>I4', kept, at + 28)
    list[#list + 1] = string.sub(kept, at, at + size - 1)
    at = at + size
  end
  if #list >= KEPT_FIRST + KEPT_LAST then table.remove(list, KEPT_FIRST + 1) end
  list[#list + 1] = struct.pack('>I4I8', attempt, now) .. worker .. struct.pack('>I4', #text) .. text
  return table.concat(list)
end

local HELD, ASKED, SETTLED, REAPED = string.byte('hcsr', 1, 4)

local function lease_at(k, no)
  local found = redis.call('HMGET', KEYS[k + no - 1], 'h', 'f', 'n', 'g')
  local lease = { key = KEYS[k + no - 1], no = no, slots = found[4] and Slots.read(found[4], #found[2]), handles = found[1], fates = {}, held = tonumber(found[3] or 0), gone = 0 }
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
  if fate == SETTLED then
    lease.again = true
    return 'R'
  end
  if fate == REAPED then return 'S' end
  lease.fates[place + 1] = SETTLED
  lease.gone = lease.gone + 1
  local handle = handle_at(lease.handles, place + 1)
  if lease.slots and lease.slots.mixed then Slots.free(lease.slots, kind_of(handle)) end
  return 'A', handle, fate
end

local function keep_fates(lease, receipt_ms, lease_id, told)
  -- Whoever said it first may not have told the homes.
  if lease.slots and (lease.gone > 0 or lease.again) then
    Slots.free_whole(lease.slots, lease.gone)
    Slots.tell(lease_id, lease.slots, lease.again, told)
  end
  if lease.gone == 0 then return end
  local text = {}
  for from = 1, #lease.fates, ROOM do
    text[#text + 1] = string.char(unpack(lease.fates, from, math.min(#lease.fates, from + ROOM - 1)))
  end
  local held = lease.held - lease.gone
  local changed = { 'f', table.concat(text), 'n', held }
  if lease.slots then changed[5], changed[6] = 'g', Slots.to_text(lease.slots) end
  redis.call('HSET', lease.key, unpack(changed))
  if held <= 0 then
    redis.call('PEXPIRE', lease.key, receipt_ms)
    redis.call('ZREM', X, lease_id)
    redis.call('ZREM', XI, lease_id)
  end
end

-- Lets a job that has completed stay for a while, with what it returned.
local function keep(handle, charged, claims, period, result, now)
  local id = id_of(handle)
  redis.call('ZADD', C, whole(now + period), handle)
  redis.call('HSET', M, id, meta(charged, claims, 0) .. ' ' .. whole(now))
  keep_notes(id, edited_notes(id, { { 'result', result ~= '' and result } }))
  free_keys({ id })
  redis.call('HDEL', V, id)
  end_in_lines({ id })
  tell_batches({ id }, 'e')
end

-- Applies a verdict other than completion to a job that its lease has let go of.
local function apply(verdict, lanes, now)
  local handle, id, what = verdict.handle, id_of(verdict.handle), verdict.what
  local charged, claims, crashes = meta_of(redis.call('HGET', M, id))
  claims = claims + 1
  if what == 'retry' or what == 'dead' then
    local worker = redis.call('HGET', verdict.lease.key, 'w')
    redis.call('HSET', E, id, with_error(redis.call('HGET', E, id), charged + 1, now, worker, verdict.error))
    charged = charged + 1
  end
  if what == 'keep' then
    keep(handle, charged + 1, claims, tonumber(verdict.detail), verdict.error, now)
  elseif what == 'dead' then
    bury(handle, charged, claims, crashes, verdict.detail, now)
  elseif what == 'retry' and verdict.max ~= UNLIMITED and charged >= verdict.max then
    bury(handle, charged, claims, crashes, 'exhausted', now)
  else
    redis.call('HSET', M, id, meta(charged, claims, 0))
    if what == 'release' then
      make_ready(lanes[kind_of(handle)], handle, priority_of(handle) * PRIORITY + draw(1))
    else
      if with_lines then Lines.step_out(id) end
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
    verdict.lease = lease
    verdict.letter, verdict.handle, fate = judge(lease, tonumber(ARGV[at + 1]), ARGV[at + 2])
    if verdict.handle then
      local back = verdict.what == 'retry' or verdict.what == 'snooze' or verdict.what == 'release'
      local job = redis.call('HGET', J, ARGV[at + 2])
      -- A job that was asked to stop does not come back, nor one with a newer one behind it, nor one that is not there.
      if not job or (fate == ASKED and back) or (back and has_next(ARGV[at + 2])) then verdict.what = 'end' end
      verdict.max = job and max_attempts_of(job)
    end
    verdicts[i] = verdict
  end
  return verdicts
end

local VERDICT, AWAY, HERE = 6, 3, 11

-- Where the parts of the arguments begin.
local function settle_parts(a)
  local it = { leases = tonumber(ARGV[a + 3]), kinds = tonumber(ARGV[a + 4]), others = tonumber(ARGV[a + 5]),
    away = tonumber(ARGV[a + 6]), here = tonumber(ARGV[a + 7]), keys = tonumber(ARGV[a + 8]), limits = ARGV[a + 9] }
  local _
  _, it.homes = string.gsub(it.limits, '%S+', '')
  it.packed_at = a + 10
  it.others_at = it.packed_at + it.leases
  it.away_at = it.others_at + VERDICT * it.others
  it.here_at = it.away_at + AWAY * it.away
  it.ids_at = it.here_at + HERE * it.here
  it.after = it.ids_at + it.leases
  return it
end

local function store_here(it, k, verdicts, lanes)
  local handles, records, options = {}, {}, {}
  for i = 1, it.here do
    local at = it.here_at + HERE * (i - 1)
    if verdicts[tonumber(ARGV[at])].letter == 'A' then
      handles[#handles + 1] = ARGV[at + 1]
      records[#records + 1] = ARGV[at + 2]
      local key = tonumber(ARGV[at + 4])
      options[#handles] =
        { ARGV[at + 3], key > 0 and KEYS[k + it.leases + it.kinds + key - 1] or nil, unpack(ARGV, at + 5, at + 10) }
    end
  end
  return #handles > 0 and store(plan(handles, records, options, lanes), lanes)
end

-- The kind of which the client does not know the number.
local function unknown_kind(it, verdicts)
  for _, verdict in ipairs(verdicts) do
    if verdict.handle and verdict.what == 'release' and kind_of(verdict.handle) > it.kinds then
      return kind_of(verdict.handle)
    end
  end
  for i = 1, it.here do
    local kind = kind_of(ARGV[it.here_at + HERE * (i - 1) + 1])
    if kind == 0 or kind > it.kinds then return kind end
  end
end

-- Letters of the verdicts, or the number of a kind that the client does not know.
local function settle(a, k)
  local it, letters, gone, held, told = settle_parts(a), {}, {}, {}, {}
  if it.homes > 0 then Slots.know(it.limits, k + it.leases + it.kinds + it.keys) end
  local now = now_ms()
  for no = 1, it.leases do
    local lease, list, packed = lease_at(k, no), {}, ARGV[it.packed_at + no - 1]
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
  local verdicts, list, lanes = read_verdicts(it.others_at, it.others, held), {}, {}
  for i, verdict in ipairs(verdicts) do
    list[i] = verdict.letter
    if verdict.handle and verdict.what == 'end' then gone[#gone + 1] = id_of(verdict.handle) end
  end
  letters[it.leases + 1] = table.concat(list)
  local unknown = unknown_kind(it, verdicts)
  if unknown then return unknown end
  for i = 1, it.kinds do lanes[i] = KEYS[k + it.leases + i - 1] end

  write_even_if_full()
  local running, news = { unpack(gone) }, false
  for _, verdict in ipairs(verdicts) do
    if verdict.handle and verdict.what ~= 'end' then
      running[#running + 1] = id_of(verdict.handle)
      apply(verdict, lanes, now)
      news = news or verdict.what == 'release'
    end
  end
  many('HDEL', RUN, running)
  finish(gone)
  for no = 1, it.leases do keep_fates(held[no], ARGV[a], ARGV[it.ids_at + no - 1], told) end
  for i = 1, it.away do
    local at = it.away_at + AWAY * (i - 1)
    if verdicts[tonumber(ARGV[at])].letter == 'A' then redis.call('HSET', O, ARGV[at + 1], ARGV[at + 2]) end
  end
  news = store_here(it, k, verdicts, lanes) or news
  keep_lines()
  if news then wake(ARGV[a + 1], ARGV[a + 2]) end
  if #told > 0 then letters[#letters + 1] = told end
  return letters
end

-- Whether the keys of a settlement are what they must be, which begin at `k`.
local function wrong_settle_keys(it, k)
  return wrong_type(k, k + it.leases - 1, 'hash') or wrong_type(k + it.leases, k + it.leases + it.kinds - 1, 'zset')
    or wrong_type(k + it.leases + it.kinds, k + it.leases + it.kinds + it.keys - 1, 'string')
    or it.homes > 0 and Slots.wrong_keys(k + it.leases + it.kinds + it.keys, it.homes)
end
