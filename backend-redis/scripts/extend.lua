-- ARGV: lease ms, '1' if the homes of limits have been told, lease ids. KEYS: the leases. Answers a letter for each lease: 1 held, 0 ended, t
-- its homes have to be told first; the jobs to cancel; and for each lease that takes of limits its place, holder and slots (see slots).
local bad = wrong_head() or wrong_type(HEAD + 1, #KEYS, 'hash')
if bad then return bad end
write_even_if_full()
local expires, letters, cancel, limited = whole(now_ms() + tonumber(ARGV[1])), {}, {}, {}
for no = 1, #ARGV - 2 do
  local lease, key = ARGV[no + 2], KEYS[HEAD + no]
  local found = redis.call('HMGET', key, 'h', 'f', 'g')
  if found[3] then
    for _, slot in ipairs(Slots.read(found[3])) do limited[#limited + 1] = { no, slot.name, lease .. Slots.shard, slot.count } end
  end
  if found[1] and redis.call('ZSCORE', X, lease) then
    letters[no] = '1'
    if found[3] and ARGV[2] ~= '1' then
      letters[no] = 't'
    else
      redis.call('ZADD', X, 'XX', 'GT', expires, lease)
    end
    local at = string.find(found[2], 'c', 1, true)
    while at do
      cancel[#cancel + 1] = id_of(handle_at(found[1], at))
      at = string.find(found[2], 'c', at + 1, true)
    end
  else
    letters[no] = '0'
  end
end
return { table.concat(letters), cancel, limited }
