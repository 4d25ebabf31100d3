-- ARGV: '1' to pause, '0' to resume; channel, queue name.
local bad = wrong_head()
if bad then return bad end
write_even_if_full()
if ARGV[1] == '1' then
  redis.call('HSET', Q, 'paused', 1)
else
  redis.call('HDEL', Q, 'paused')
  wake(ARGV[2], ARGV[3])
end
return 1
