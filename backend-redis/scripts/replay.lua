-- Makes dead jobs ready. ARGV: channel, queue name, job ids. KEYS: the lanes of all kinds. Answers a letter each: 1 done, 0 not;
-- or a number: the client knows too few kinds.
local bad = wrong_head() or wrong_type(HEAD + 1, #KEYS, 'zset')
if bad then return bad end
local dead, letters = {}, {}
for i = 3, #ARGV do
  local job = redis.call('HGET', J, ARGV[i])
  local handle = job and handle_of(ARGV[i], job)
  if handle and redis.call('ZSCORE', D, handle) then
    if kind_of(handle) > #KEYS - HEAD then return kind_of(handle) end
    dead[i] = handle
  end
end
for i = 3, #ARGV do
  local id, handle = ARGV[i], dead[i]
  local key = handle and redis.call('HGET', V, id)
  -- Twice in one call, it is dead only once.
  if handle and redis.call('ZSCORE', D, handle) and not (key and redis.call('HEXISTS', U, key) == 1) then
    local _, claims = meta_of(redis.call('HGET', M, id))
    redis.call('HSET', M, id, meta(0, claims, 0))
    if key then redis.call('HSET', U, key, id) end
    redis.call('ZREM', D, handle)
    make_ready(KEYS[HEAD + kind_of(handle)], handle, priority_of(handle) * PRIORITY + FRESH + draw(1))
    letters[#letters + 1] = '1'
  else
    letters[#letters + 1] = '0'
  end
end
keep_lines()
if next(dead) then wake(ARGV[1], ARGV[2]) end
return table.concat(letters)
