-- Gives a unique key to the job that waits for it, if there is one.
local function hand_on(field)
  local text = redis.call('HGET', U, 'n' .. field)
  local id = text and string.sub(text, 1, 16)
  local job = id and redis.call('HGET', J, id)
  redis.call('HDEL', U, 'n' .. field)
  if not job then return redis.call('HDEL', U, field) end
  redis.call('HSET', U, field, id)
  redis.call('ZADD', WS, string.sub(text, 17), handle_of(id, job))
end

local function waits_for(field, id)
  return field and string.sub(redis.call('HGET', U, 'n' .. field) or '', 1, 16) == id
end

-- Frees the unique keys of jobs, each only if its job holds it.
local function free_keys(ids)
  if #ids == 0 or redis.call('EXISTS', V) == 0 then return end
  local fields = read_many(V, ids)
  for i, id in ipairs(ids) do
    if fields[i] and redis.call('HGET', U, fields[i]) == id then
      hand_on(fields[i])
    elseif waits_for(fields[i], id) then
      redis.call('HDEL', U, 'n' .. fields[i])
    end
  end
end

-- Leaves word for the batches of jobs: 'e' they have ended, 'd' they have died. Whoever settles or maintains brings it there.
local function tell_batches(ids, how)
  if #ids == 0 or redis.call('EXISTS', B) == 0 then return end
  local batches, told = read_many(B, ids), {}
  for i, id in ipairs(ids) do
    if batches[i] then
      told[#told + 1] = id .. how
      told[#told + 1] = BATCH .. batches[i]
    end
  end
  many('HSET', O, told)
  if how == 'e' then many('HDEL', B, ids) end
end

-- Removes jobs that have ended and that nobody holds.
local function finish(ids)
  if #ids == 0 then return end
  many('HDEL', J, ids)
  free_keys(ids)
  end_in_lines(ids)
  tell_batches(ids, 'e')
  if redis.call('EXISTS', M, E, V, N) > 0 then
    many('HDEL', M, ids)
    many('HDEL', E, ids)
    many('HDEL', V, ids)
    many('HDEL', N, ids)
  end
end

local function bury(handle, charged, claims, crashes, reason, now)
  redis.call('ZADD', D, whole(now), handle)
  redis.call('HSET', M, id_of(handle), meta(charged, claims, crashes) .. ' ' .. reason)
  free_keys({ id_of(handle) })
  end_in_lines({ id_of(handle) }, true)
  tell_batches({ id_of(handle) }, 'd')
end
