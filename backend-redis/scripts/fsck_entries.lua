-- Removes entries of an index whose job is not there. ARGV: '1' to repair, what the index is (zset, hash, keys), its entries.
-- KEYS: the index. Answers how many there were.
local bad = wrong_head()
if bad then return bad end
local stray, index = {}, KEYS[HEAD + 1]
for i = 3, #ARGV do
  local entry, id = ARGV[i], id_of(ARGV[i])
  -- Unique keys say which job holds them, and the job says so too.
  if ARGV[2] == 'keys' then
    local field = string.sub(entry, 1, 1) == 'n' and string.sub(entry, 2) or entry
    id = redis.call('HGET', U, entry)
    id = id and string.sub(id, 1, 16)
    if id and redis.call('HGET', V, id) ~= field then id = 'nobody' end
  end
  if id and redis.call('HEXISTS', J, id) == 0 then stray[#stray + 1] = entry end
end
if ARGV[1] == '1' then many(ARGV[2] == 'zset' and 'ZREM' or 'HDEL', index, stray) end
return #stray
