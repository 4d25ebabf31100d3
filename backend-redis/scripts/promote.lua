-- Makes due jobs ready, removes kept ones whose time is over, and forgets lines. ARGV: limit, channel, queue name. KEYS: the lanes of all
-- kinds. Answers how many, whether more are due, in how many ms the next is (-1: none is there), the leases that have expired, and how
-- many were removed; or a number: the client knows too few kinds.
local bad = wrong_head() or wrong_type(HEAD + 1, #KEYS, 'zset')
if bad then return bad end
local limit, now = tonumber(ARGV[1]), now_ms()
local stamp = whole(now)
local function due(key)
  return redis.call('ZRANGEBYSCORE', key, '-inf', stamp, 'WITHSCORES', 'LIMIT', 0, limit)
end
local all = {}
for _, key in ipairs({ WS, WR }) do
  local found = due(key)
  for i = 1, #found, 2 do
    if kind_of(found[i]) > #KEYS - HEAD then return kind_of(found[i]) end
    all[#all + 1] = { key = key, handle = found[i], at = tonumber(found[i + 1]) }
  end
end
table.sort(all, function(one, other)
  if one.at ~= other.at then return one.at < other.at end
  return one.handle < other.handle
end)
local count = math.min(limit, #all)
if count > 0 then
  write_even_if_full()
  local seq = draw(count)
  for i = 1, count do
    local job = all[i]
    redis.call('ZREM', job.key, job.handle)
    make_ready(KEYS[HEAD + kind_of(job.handle)], job.handle, priority_of(job.handle) * PRIORITY + FRESH + seq + i - 1)
  end
  wake(ARGV[2], ARGV[3])
end
-- What waits for a batch or for the end of another job is due on the last day, or later.
local next_due = -1
for _, key in ipairs({ WS, WR }) do
  local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  if first[2] and tonumber(first[2]) < LAST_DAY then
    local wait = math.max(0, tonumber(first[2]) - now)
    if next_due < 0 or wait < next_due then next_due = wait end
  end
end
local over, gone = redis.call('ZRANGEBYSCORE', C, '-inf', stamp, 'LIMIT', 0, limit), {}
if #over > 0 then
  write_even_if_full()
  many('ZREM', C, over)
  for i, handle in ipairs(over) do gone[i] = id_of(handle) end
  finish(gone)
end
if with_lines then Lines.forget(limit) end
keep_lines()
local expired = redis.call('ZRANGEBYSCORE', X, '-inf', stamp, 'LIMIT', 0, limit)
return { count, next_due == 0 and 1 or 0, next_due, expired, #over }
