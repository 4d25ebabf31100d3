-- Stores jobs: `handles` and `records` one for each, `options` for some by their numbers: when ('', 'd' delay ms, 'a' instant ms),
-- idempotency key or nil, window ms, unique key or '', batch (16 bytes) or ''. First the reads.
local function plan(handles, records, options)
  local ids = {}
  for i, handle in ipairs(handles) do ids[i] = id_of(handle) end
  local it = {
    handles = handles, records = records, ids = ids, now = now_ms(), live = read_many(J, ids),
    holders = {}, due = {}, requests = {}, windows = {}, unique = {}, members = {}, told = {},
  }
  local claimed = {}
  for i = 1, #handles do
    local option = options[i]
    if option and not it.live[i] then
      local when, key, window, field, batch = unpack(option, 1, 5)
      local same = key and (it.requests[key] or redis.call('GET', key))
      local holder = same or (field ~= '' and (claimed[field] or redis.call('HGET', U, field))) or nil
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
        if field ~= '' then
          claimed[field] = ids[i]
          it.unique[ids[i]] = field
        end
        if when ~= '' then
          local time = tonumber(string.sub(when, 2)) + (string.sub(when, 1, 1) == 'd' and it.now or 0)
          if time > it.now then it.due[i] = time end
        end
      end
    end
  end
  return it
end

-- Then the writes; true if somebody may wait for one of these jobs.
local function store(it, lane_of)
  for key, holder in pairs(it.requests) do
    if tonumber(it.windows[key]) > 0 then redis.call('SET', key, holder, 'PX', it.windows[key]) end
  end
  for id, field in pairs(it.unique) do
    redis.call('HSET', U, field, id)
    redis.call('HSET', V, id, field)
  end
  for word, batch in pairs(it.told) do redis.call('HSET', O, word, batch) end
  for id, batch in pairs(it.members) do redis.call('HSET', B, id, batch) end
  local seq, stored, lanes, stamp = draw(#it.handles), {}, {}, whole(it.now)
  for i, handle in ipairs(it.handles) do
    if not it.live[i] and not it.holders[i] then
      stored[#stored + 1] = it.ids[i]
      stored[#stored + 1] = stamp .. it.records[i]
      if it.due[i] then
        redis.call('ZADD', WS, whole(it.due[i]), handle)
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
  many('HSET', J, stored)
  local news = false
  for kind, list in pairs(lanes) do
    news = news or redis.call('ZCOUNT', lane_of[kind], '-inf', '(' .. whole(SUSPECT)) == 0
    many('ZADD', lane_of[kind], list)
  end
  return news
end
