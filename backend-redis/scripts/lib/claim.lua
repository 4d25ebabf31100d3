-- ARGV from `a`: worker, limit, lease ms, solo ('1': take one, '2': say whether one waits), most bytes, number of kinds, the limits (see
-- budgets), the lease ids (the normal one first).
-- KEYS from `k`: one for each lease, then one lane for each kind. The answer: handles, jobs, metas ('' if fresh; none at all if
-- every job is), and the place of each: number of its lease (0: the normal one) * 65536 + place there; none at all if all
-- are in order under the normal lease; what the clock says, in ms (0 if there are no jobs); 1 if a job waits that runs alone; in how
-- many ms to ask again because jobs were left for a limit or a line (-1: none were); and how many permits were used (see budgets).

local function nothing() return { {}, {}, {}, {}, 0, 0, -1, {} } end

local function with_metas(answer, ids)
  if redis.call('EXISTS', M) == 0 then return end
  for i, text in ipairs(read_many(M, ids)) do answer[3][i] = text or '' end
end

-- The jobs of an earlier claim with these ids, if there was one that got any.
local function repeated(leases, k)
  local answer, ids, found = nothing(), {}, false
  for no = 1, leases do
    local lease = redis.call('HMGET', KEYS[k + no - 1], 'h', 'f', 'g')
    if lease[1] then
      found = true
      if lease[3] then Slots.used_before(answer[8], no, leases, lease[3]) end
      for i = 1, #lease[2] do
        local fate = string.sub(lease[2], i, i)
        if fate == 'h' or fate == 'c' then
          local handle = handle_at(lease[1], i)
          answer[1][#answer[1] + 1] = handle
          -- With its place in the lease, which is not that in the answer.
          answer[4][#answer[4] + 1] = (no - 1) * 65536 + i - 1
          ids[#ids + 1] = id_of(handle)
        end
      end
    end
  end
  if not found then return nil end
  answer[5] = now_ms()
  for i, job in ipairs(read_many(J, ids)) do answer[2][i] = job or '' end
  with_metas(answer, ids)
  return answer
end

local function more_of(source)
  source.at = 1
  source.list = redis.call('ZRANGE', source.lane, source.read, source.read + source.step - 1, 'WITHSCORES')
  source.read = source.read + #source.list / 2
  source.step = source.step * 2
end

local function head_of(source)
  if source.at > #source.list then
    if #source.list < 1 then return nil end
    more_of(source)
  end
  local score = tonumber(source.list[source.at + 1])
  if score and score < SUSPECT then return score end
end

-- Handles in order of their scores over all lanes, and how many of each lane.
local function first_of(lanes, limit)
  local sources, handles = {}, {}
  if #lanes == 1 then
    limit = math.min(limit, left_of(lanes[1]))
    handles = redis.call('ZRANGEBYSCORE', lanes[1], '-inf', '(' .. whole(SUSPECT), 'LIMIT', 0, limit)
    spend(lanes[1], #handles)
    return handles, { { lane = lanes[1], taken = #handles } }
  end
  for _, lane in ipairs(lanes) do
    local source = { lane = lane, read = 0, taken = 0, step = math.min(limit, 32), limited = limited and Budgets.of_lane[lane] }
    more_of(source)
    if head_of(source) then sources[#sources + 1] = source end
  end
  while #handles < limit do
    local best, score, rival
    for _, source in ipairs(sources) do
      local head = (not source.limited or left_of(source.lane) > 0) and head_of(source)
      if head and (not score or head < score) then
        best, score, rival = source, head, score
      elseif head and (not rival or head < rival) then
        rival = head
      end
    end
    if not best then break end
    -- Jobs of one kind often stand together, and are then taken without comparing again.
    while score and #handles < limit and (not rival or score < rival) do
      handles[#handles + 1] = best.list[best.at]
      best.at = best.at + 2
      best.taken = best.taken + 1
      score = head_of(best)
      if best.limited then
        spend(best.lane, 1)
        if left_of(best.lane) <= 0 then break end
      end
    end
  end
  return handles, sources
end

local function first_in(lanes, from, to)
  local best, score, where
  for _, lane in ipairs(lanes) do
    local found = redis.call('ZRANGEBYSCORE', lane, whole(from), '(' .. whole(to), 'WITHSCORES', 'LIMIT', 0, 1)
    if found[1] and (not score or tonumber(found[2]) < score) then best, score, where = found[1], tonumber(found[2]), lane end
  end
  return best, where
end

local function grant(key, lease, handles, ids, class, worker, expires)
  local number = redis.call('HINCRBY', Q, 'claims', 1)
  redis.call('HSET', key, 'h', table.concat(handles), 'f', string.rep('h', #handles), 'n', #handles, 'c', class, 'w', worker)
  redis.call('ZADD', X, expires, lease)
  redis.call('ZADD', XI, number, lease)
  local pairs_of = {}
  for i, id in ipairs(ids) do
    pairs_of[2 * i - 1] = id
    pairs_of[2 * i] = lease
  end
  many('HSET', RUN, pairs_of)
end

-- Drops entries of lanes that have no job.
local function without_missing(handles, ids, jobs)
  local kept = { {}, {}, {} }
  for i, id in ipairs(ids) do
    if jobs[i] then
      local at = #kept[1] + 1
      kept[1][at], kept[2][at], kept[3][at] = handles[i], id, jobs[i]
    else
      if limited then Budgets.give_back(handles[i]) end
    end
  end
  return unpack(kept)
end

-- Takes what comes first in the lanes; `some`: other jobs have been taken. True as well if there is no room for more.
local function take_lanes(lanes, limit, room, some)
  local handles, sources = first_of(lanes, limit)
  local ids, jobs, missing = read_jobs(handles, room, some)
  local full = #ids < #handles
  if not full then
    for _, source in ipairs(sources) do
      if source.taken > 0 then redis.call('ZREMRANGEBYRANK', source.lane, 0, source.taken - 1) end
    end
  else
    for i = #handles, #ids + 1, -1 do
      if limited then Budgets.give_back(handles[i]) end
      handles[i] = nil
    end
    for _, source in ipairs(sources) do many('ZREM', source.lane, handles) end
  end
  if missing then handles, ids, jobs = without_missing(handles, ids, jobs) end
  return full, handles, ids, jobs
end

-- All keys of a shard begin with the same.
local function lane_of_kind(kind) return string.sub(Q, 1, -2) .. 'r:' .. kind end

-- Takes suspects, or a job that runs alone, each under its own lease. Answers the number of the lease and the handle, id, job and class
-- of each, and whether a job waits that runs alone.
local function take_suspects(lanes, leases, solo)
  local taken = {}
  local function alone(no, from, to, class)
    local open = {}
    for _, lane in ipairs(lanes) do
      if left_of(lane) > 0 then open[#open + 1] = lane end
    end
    local handle, lane = first_in(open, from, to)
    if not handle then return false end
    local id = id_of(handle)
    local job = redis.call('HGET', J, id)
    redis.call('ZREM', lane, handle)
    if job then
      spend(lane, 1)
      taken[#taken + 1] = { no = no, handle = handle, id = id, job = job, class = class }
    end
    return true
  end
  local suspects = 0
  for no = 2, leases do
    if not alone(no, SUSPECT, SOLO, 1) then break end
    suspects = suspects + 1
  end
  if suspects == 0 and solo == '1' and leases > 1 then alone(2, SOLO, SOLO + SUSPECT, 2) end
  return taken, solo == '2' and first_in(lanes, SOLO, SOLO + SUSPECT) and 1 or 0
end

local function claim(a, k)
  local worker, limit, lease_for, solo, room, kinds, limits = unpack(ARGV, a, a + 6)
  limit, room, kinds = tonumber(limit), tonumber(room), tonumber(kinds)
  local first_lease = a + 7
  local leases = #ARGV - first_lease + 1
  local again = repeated(leases, k)
  if again then return again end
  local paused, paused_kinds, look = unpack(redis.call('HMGET', Q, 'paused', 'paused_kinds', 'look'))
  if paused then return nothing() end
  -- A kind may be named twice.
  local lanes, seen, named = {}, {}, {}
  for kind in string.gmatch(paused_kinds or '', '%S+') do seen[lane_of_kind(kind)] = true end
  for i = 1, kinds do
    local lane = KEYS[k + leases + i - 1]
    named[i] = lane
    if not seen[lane] and redis.call('EXISTS', lane) == 1 then lanes[#lanes + 1] = lane end
    seen[lane] = true
  end
  if #lanes == 0 then return nothing() end
  local answer, ids = nothing(), {}
  answer[5] = now_ms()
  local expires = whole(answer[5] + tonumber(lease_for))
  -- Leases that nobody ends are reaped after their end.
  local holders_end = whole(answer[5] + 2 * tonumber(lease_for) + 1000)
  write_even_if_full()
  if limits ~= '' then
    Budgets.read(limits, named, limit + leases)
    limited = #Budgets.list > 0
  end
  local with_turns = with_lines and redis.call('EXISTS', LO) == 1
  local numbered = (with_turns or limited) and Serve.kinds_of(lanes)
  local serving = with_turns and limit > 0 and Serve.open(numbered, now_us(), limit, room, look)
  -- They come on top of the limit, so others cannot keep limits from them for ever.
  local suspects
  suspects, answer[6] = take_suspects(lanes, leases, solo)
  if limit > 0 then
    if serving then
      answer[1], ids, answer[2] = Serve.take(serving, limit, lanes, take_lanes)
    else
      local _
      _, answer[1], ids, answer[2] = take_lanes(lanes, limit, room)
    end
  end
  local normal = #ids
  local function grant_to(no, handles, of, class)
    grant(KEYS[k + no - 1], ARGV[first_lease + no - 1], handles, of, class, worker, expires)
    if limited then Budgets.count_slots(no, KEYS[k + no - 1], ARGV[first_lease + no - 1], handles, holders_end) end
  end
  if normal > 0 then grant_to(1, answer[1], ids, 0) end
  for _, taken in ipairs(suspects) do
    grant_to(taken.no, { taken.handle }, { taken.id }, taken.class)
    local at = #ids + 1
    ids[at], answer[1][at], answer[2][at] = taken.id, taken.handle, taken.job
    answer[4][at] = (taken.no - 1) * 65536
  end
  if #ids > normal then
    for i = 1, normal do answer[4][i] = i - 1 end
  end
  if limited then
    answer[8] = Budgets.settle(leases)
    answer[7] = Budgets.wait_for(lanes) or -1
  end
  if with_turns and normal < limit then
    local wait = Serve.wait_for(numbered, now_us())
    if wait and (answer[7] < 0 or wait < answer[7]) then answer[7] = wait end
  end
  with_metas(answer, ids)
  return answer
end
