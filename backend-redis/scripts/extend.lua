-- ARGV: lease ms, lease ids. KEYS: the leases. Answers a letter for each lease (1 held, 0 ended) and the jobs to cancel.
local bad = wrong_type(1, HEAD) or wrong_type(HEAD + 1, #KEYS, 'hash')
if bad then return bad end
write_even_if_full()
local expires, letters, cancel = whole(now_ms() + tonumber(ARGV[1])), {}, {}
for no = 1, #ARGV - 1 do
  local lease, key = ARGV[no + 1], KEYS[HEAD + no]
  local found = redis.call('HMGET', key, 'h', 'f')
  if found[1] and redis.call('ZSCORE', X, lease) then
    letters[no] = '1'
    redis.call('ZADD', X, 'XX', 'GT', expires, lease)
    local at = string.find(found[2], 'c', 1, true)
    while at do
      cancel[#cancel + 1] = id_of(handle_at(found[1], at))
      at = string.find(found[2], 'c', at + 1, true)
    end
  else
    letters[no] = '0'
  end
end
return { table.concat(letters), cancel }
