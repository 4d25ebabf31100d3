-- ARGV: '1' to pause, '0' to resume; the kind, channel, queue name. The names of paused kinds are in one field, with blanks
-- between them, which no name has.
local bad = wrong_head()
if bad then return bad end
local kinds = {}
for kind in string.gmatch(redis.call('HGET', Q, 'paused_kinds') or '', '%S+') do
  if kind ~= ARGV[2] then kinds[#kinds + 1] = kind end
end
if ARGV[1] == '1' then kinds[#kinds + 1] = ARGV[2] end
write_even_if_full()
if #kinds > 0 then
  redis.call('HSET', Q, 'paused_kinds', table.concat(kinds, ' '))
else
  redis.call('HDEL', Q, 'paused_kinds')
end
if ARGV[1] ~= '1' then wake(ARGV[3], ARGV[4]) end
return 1
