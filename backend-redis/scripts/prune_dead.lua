-- Removes jobs that have been dead for longer than so many ms, the oldest first. ARGV: the ms, limit. Answers how many.
local bad = wrong_head()
if bad then return bad end
local before = now_ms() - tonumber(ARGV[1])
local old = redis.call('ZRANGEBYSCORE', D, '-inf', '(' .. whole(before), 'LIMIT', 0, ARGV[2])
if #old == 0 then return 0 end
local gone = {}
for i, handle in ipairs(old) do gone[i] = id_of(handle) end
write_even_if_full()
many('ZREM', D, old)
finish(gone)
keep_lines()
return #old
