-- Stores jobs: `handles` and `records` one for each, `options` for some by their numbers: when ('', 'd' delay ms, 'a' instant ms,
-- 'w' word for the batch it waits for), idempotency key or nil, window ms, unique key or '', what to do if a key is taken, the longest wait in ms, batch (16 bytes) or '', line or ''.
-- `lane_of`: lanes by the numbers of their kinds. First the reads.
local function due_of(when, now)
  if when == '' then return nil end
  if string.sub(when, 1, 1) == 'w' then return LAST_DAY end
  return tonumber(string.sub(when, 2)) + (string.sub(when, 1, 1) == 'd' and now or 0)
end

local function plan(handles, records, options, lane_of)
  local ids, starts, claimed, behind = {}, {}, {}, {}
  for i, handle in ipairs(handles) do ids[i] = id_of(handle) end
  local it = {
    handles = handles, records = records, ids = ids, now = now_ms(), live = read_many(J, ids),
    holders = {}, replaced = {}, starts = starts, requests = {}, windows = {}, claimed = claimed, behind = behind,
    members = {}, told = {},
  }
  for i, handle in ipairs(handles) do
    local option = options[i]
    if option and not it.live[i] then
      local when, key, window, field, policy, max_wait, batch, line = unpack(option, 1, 8)
      local kind = kind_of(handle)
      local start = { number = i, id = ids[i], kind = kind, priority = priority_of(handle), line = line, turn = i,
        came = it.now, due = due_of(when, it.now) }
      local same = key and (it.requests[key] or redis.call('GET', key))
      local unique = field ~= '' and (claimed[field] and claimed[field].id or redis.call('HGET', U, field)) or nil
      local holder = same or unique or nil
      if holder and policy == ERROR and not it.refused then it.refused = { i, same and 1 or 2, holder } end
      if holder and not same and policy >= REPLACE
        and start_in_place(start, kind, lane_of[kind], holder, claimed, behind, field, policy, max_wait, it.now) then
        holder = nil
      end
      -- A request that another job answers is answered by it again.
      if key and not same then
        it.requests[key] = holder or ids[i]
        it.windows[key] = window
      end
      if holder then
        it.holders[i] = holder
        -- A batch does not wait for a job that another one stands for.
        if batch ~= '' then it.told[ids[i] .. 'e'] = BATCH .. batch end
      else
        if batch ~= '' then it.members[ids[i]] = batch end
        -- Whoever stores the job may die before it has told the batch.
        if string.sub(when, 1, 1) == 'w' then it.told[ids[i] .. 'w'] = WAIT .. string.sub(when, 2) end
        if start.due and start.due <= it.now then start.due = nil end
        local mine = start.parked and behind or claimed
        if field ~= '' then
          local other = mine[field]
          if other then
            starts[other.number] = false
            -- Nor for one whose place another one takes.
            if it.members[other.id] then it.told[other.id .. 'e'] = BATCH .. it.members[other.id] end
            it.members[other.id] = nil
          end
          mine[field] = start
        end
        starts[i], it.replaced[i] = start, start.replaced
      end
    end
  end
  return it
end

-- The keys, and away with what was replaced.
local function take_keys(it)
  for key, holder in pairs(it.requests) do
    if tonumber(it.windows[key]) > 0 then redis.call('SET', key, holder, 'PX', it.windows[key]) end
  end
  for field, start in pairs(it.claimed) do
    redis.call('HSET', U, field, start.id)
    redis.call('HSET', V, start.id, field)
  end
  for field, start in pairs(it.behind) do
    redis.call('HSET', U, 'n' .. field, start.id .. whole(start.due or it.now))
    redis.call('HSET', V, start.id, field)
  end
  for word, batch in pairs(it.told) do redis.call('HSET', O, word, batch) end
  for id, batch in pairs(it.members) do redis.call('HSET', B, id, batch) end
  local gone = {}
  for _, starts in ipairs({ it.claimed, it.behind }) do
    for _, start in pairs(starts) do
      for _, old in ipairs(start.old or {}) do
        redis.call('ZREM', old.key, old.handle)
        if old.score and old.score >= LINE then Lines.leave(old.handle, old.score) end
        gone[#gone + 1] = id_of(old.handle)
      end
    end
  end
  finish(gone)
end

-- Then the writes; true if somebody may wait for one of these jobs. Lines are kept by whoever calls.
local function store(it, lane_of)
  take_keys(it)
  local seq, stored, lanes, stamp, soon = draw(#it.handles), {}, {}, whole(it.now), false
  for i, handle in ipairs(it.handles) do
    local start = it.starts[i]
    if not it.live[i] and not it.holders[i] and start ~= false then
      stored[#stored + 1] = it.ids[i]
      stored[#stored + 1] = (start and whole(start.came) or stamp) .. it.records[i]
      local line = start and start.line ~= '' and start.line
      if line and (start.parked or start.due) then Lines.set_letter(it.ids[i], 'n', line) end
      if start and start.parked then
        redis.call('ZADD', WS, whole(NEVER), handle)
      elseif start and start.due then
        redis.call('ZADD', WS, whole(start.due), handle)
        -- Nobody may look again before it is due.
        soon = soon or start.due - it.now <= 1000
      else
        local kind = kind_of(handle)
        local lane = lanes[kind]
        if not lane then
          lane = {}
          lanes[kind] = lane
        end
        local turn = start and start.turn or i
        local order = start and start.order or priority_of(handle) * PRIORITY + FRESH + seq + turn - 1
        if line then Lines.join(line, handle, order) else lane.plain = true end
        lane[#lane + 1] = whole(line and LINE + order or order)
        lane[#lane + 1] = handle
      end
    end
  end
  many('HSET', J, stored)
  local news = soon
  for kind, list in pairs(lanes) do
    news = news or (list.plain and redis.call('ZCOUNT', lane_of[kind], '-inf', '(' .. whole(SUSPECT)) == 0)
    many('ZADD', lane_of[kind], list)
  end
  return news
end

-- For each job a letter (0 stored, 1 another one has its key, 2 it replaced another one) and that other one; '' if every job was
-- stored and none replaced.
local function answers(it)
  if not next(it.holders) and not next(it.replaced) then return '' end
  local list = {}
  for i = 1, #it.handles do
    if it.holders[i] then
      list[i] = '\1' .. it.holders[i]
    elseif it.replaced[i] then
      list[i] = '\2' .. it.replaced[i]
    else
      list[i] = string.rep('\0', 17)
    end
  end
  return table.concat(list)
end
