-- Removes leases from the indexes that have ended or are not there. ARGV: '1' to repair, the ids. KEYS: the leases. Answers how
-- many there were.
local bad = wrong_head() or wrong_type(HEAD + 1, #KEYS, 'hash')
if bad then return bad end
local stray = 0
for i = 2, #ARGV do
  if tonumber(redis.call('HGET', KEYS[HEAD + i - 1], 'n') or 0) <= 0 then
    stray = stray + 1
    if ARGV[1] == '1' then
      redis.call('ZREM', X, ARGV[i])
      redis.call('ZREM', XI, ARGV[i])
    end
  end
end
return stray
