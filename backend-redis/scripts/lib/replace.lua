-- Where a job begins whose unique key is taken. A start: its number in the batch, its id, when it is due (nil: now), when the first of
-- those whose place it has came, its line, its turn among the new ones or its place there, the stored jobs that it replaces, and whether it waits
-- for the end of the job that has the key. That one is in U under 'n' and the key, with when it is due then.
local ERROR, REPLACE, DEBOUNCE, LATEST = '1', '2', '3', '4'
-- Of a job that waits for the end of another one.
local NEVER = 2 ^ 52

local function has_next(id)
  local field = redis.call('HGET', V, id)
  return field and redis.call('HEXISTS', U, 'n' .. field) == 1
end

-- A stored job that waits, as a start; nothing if it runs or is of another kind.
local function waiting(id, kind, lane)
  local job = redis.call('HGET', J, id)
  if not job or redis.call('HEXISTS', RUN, id) == 1 then return nil end
  local handle = handle_of(id, job)
  if kind_of(handle) ~= kind then return nil end
  local _, name
  if with_lines then _, name = Lines.letter_of(id) end
  local it = { id = id, came = tonumber(string.sub(job, 1, 13)), priority = priority_of(handle), line = name or '' }
  for _, key in ipairs({ WS, WR, lane }) do
    local score = tonumber(redis.call('ZSCORE', key, handle) or nil)
    if score then
      it.old = { { key = key, handle = handle } }
      if key ~= lane then
        it.due = score
      else
        it.old[1].score = score
        local order = score >= LINE and score - LINE or score
        if order < SUSPECT and order % PRIORITY >= FRESH then it.order = order end
      end
      return it
    end
  end
end

-- The stored job that waits for the end of the one that has the key.
local function next_of(field)
  local text = redis.call('HGET', U, 'n' .. field)
  local job = text and redis.call('HGET', J, string.sub(text, 1, 16))
  if not job then return nil end
  local handle = handle_of(string.sub(text, 1, 16), job)
  return { id = id_of(handle), came = tonumber(string.sub(job, 1, 13)), due = tonumber(string.sub(text, 17)), parked = true,
    priority = priority_of(handle), line = '', old = { { key = WS, handle = handle } } }
end

-- Changes a start so that it has the place of another one.
local function take_place(start, other, policy, max_wait, now)
  start.came, start.replaced, start.parked, start.old = other.came, other.id, other.parked, other.old
  if policy == LATEST then
    start.due = other.due
  elseif policy == DEBOUNCE then
    start.due = math.min(start.due or now, other.came + tonumber(max_wait))
  end
  if start.priority == other.priority and start.line == other.line and not other.due then
    start.turn, start.order = other.turn, other.order
  end
end

-- Decides about a job whose unique key another one has; true if it is to be stored. `claimed` and `behind`: the starts of this batch
-- that have the key, and that wait behind it.
local function start_in_place(start, kind, lane, holder, claimed, behind, field, policy, max_wait, now)
  local other = behind[field] or (not claimed[field] and next_of(field))
  if not other then
    other = claimed[field] and claimed[field].kind == kind and claimed[field]
      or not claimed[field] and waiting(holder, kind, lane) or nil
  end
  if other then
    take_place(start, other, policy, max_wait, now)
  elseif policy == REPLACE then
    return false
  else
    start.parked = true
  end
  return true
end
