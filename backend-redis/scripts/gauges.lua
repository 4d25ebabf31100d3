-- KEYS: the lanes of all kinds. Answers the dead, the ready, whether the queue is paused, the last seq drawn, and for each lane
-- that has a job its place among KEYS, the lowest seq in it, and for how many ms that job has been there;
-- then the paused kinds, with blanks between them.
local bad = wrong_head() or wrong_type(HEAD + 1, #KEYS, 'zset')
if bad then return bad end
local ready, lanes, now = 0, {}, now_ms()
for i = HEAD + 1, #KEYS do
  local count = redis.call('ZCARD', KEYS[i])
  ready = ready + count
  local first, handle, from = nil, nil, '-inf'
  -- Within a class and priority jobs stand in the order in which they became ready, so the first of each will do.
  while count > 0 do
    local head = redis.call('ZRANGEBYSCORE', KEYS[i], from, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    if not head[1] then break end
    local score = tonumber(head[2])
    local seq = score % FRESH
    if not first or seq < first then first, handle = seq, head[1] end
    from = whole((math.floor(score / FRESH) + 1) * FRESH)
  end
  if first then
    local job = redis.call('HGET', J, id_of(handle))
    local at = job and tonumber(string.sub(job, 1, 13)) or now
    lanes[#lanes + 1] = { i - HEAD, first, math.max(0, now - at) }
  end
end
return { redis.call('ZCARD', D), ready, redis.call('HEXISTS', Q, 'paused'), tonumber(redis.call('HGET', Q, 'seq') or '0'), lanes,
  redis.call('HGET', Q, 'paused_kinds') or '' }
