-- ARGV: job id, number of kinds, lease id if the client knows it. KEYS: the lanes of all kinds, the lease. Answers 0 cancelled now,
-- 1 asked, 2 not found; or the lease under which it runs; or the negative of how many kinds the client has to know.
local id, kinds = ARGV[1], tonumber(ARGV[2])
local bad = wrong_head() or wrong_type(HEAD + 1, HEAD + kinds, 'zset') or wrong_type(HEAD + kinds + 1, #KEYS, 'hash')
if bad then return bad end
local job = redis.call('HGET', J, id)
if not job then return 2 end
local handle = handle_of(id, job)
local lease = redis.call('HGET', RUN, id)
if lease then
  if lease ~= ARGV[3] then return lease end
  local key = KEYS[HEAD + kinds + 1]
  local found = redis.call('HMGET', key, 'h', 'f')
  for at = 1, #(found[2] or '') do
    if handle_at(found[1], at) == handle then
      write_even_if_full()
      redis.call('HSET', key, 'f', string.sub(found[2], 1, at - 1) .. 'c' .. string.sub(found[2], at + 1))
    end
  end
  return 1
end
if redis.call('ZSCORE', D, handle) or redis.call('ZSCORE', C, handle) then return 2 end
if kind_of(handle) > kinds then return -kind_of(handle) end
local lane = KEYS[HEAD + kind_of(handle)]
local score = tonumber(redis.call('ZSCORE', lane, handle) or 0)
if score >= LINE then Lines.leave(handle, score) end
redis.call('ZREM', WS, handle)
redis.call('ZREM', WR, handle)
redis.call('ZREM', lane, handle)
finish({ id })
keep_lines()
return 0
