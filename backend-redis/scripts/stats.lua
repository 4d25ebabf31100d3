-- KEYS: the lanes of all kinds. Answers ready, running, scheduled, retrying, completed, dead, paused, for how many ms the oldest ready
-- job has been there (-1: none is), and the paused kinds, with blanks between them.
local bad = wrong_head() or wrong_type(HEAD + 1, #KEYS, 'zset')
if bad then return bad end
local ready, oldest = 0, nil
local function look(handle)
  local job = handle and redis.call('HGET', J, id_of(handle))
  local at = job and tonumber(string.sub(job, 1, 13))
  if at and (not oldest or at < oldest) then oldest = at end
end
for i = HEAD + 1, #KEYS do
  local count = redis.call('ZCARD', KEYS[i])
  ready = ready + count
  -- The first of each class and priority: within these, jobs stand in the order in which they became ready.
  local from = '-inf'
  while count > 0 do
    local head = redis.call('ZRANGEBYSCORE', KEYS[i], from, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    if not head[1] then break end
    look(head[1])
    from = whole((math.floor(tonumber(head[2]) / FRESH) + 1) * FRESH)
  end
end
local waits = oldest and math.max(0, now_ms() - oldest) or -1
return { ready, redis.call('HLEN', RUN), redis.call('ZCARD', WS), redis.call('ZCARD', WR), redis.call('ZCARD', C),
  redis.call('ZCARD', D), redis.call('HEXISTS', Q, 'paused'), waits, redis.call('HGET', Q, 'paused_kinds') or '' }
