-- Keeps a row about something that was done to many jobs. ARGV: its id, the number of the note, for how many ms rows are kept, its text.
-- KEYS: the rows by id (when each was noted last, in ms, the number of that note, its text), and when each began. No more than 1,000 are kept.
local bad = wrong_head() or wrong_type(HEAD + 1, HEAD + 1, 'hash') or wrong_type(HEAD + 2, HEAD + 2, 'zset')
if bad then return bad end
local rows, began, now = KEYS[HEAD + 1], KEYS[HEAD + 2], now_ms()
local stored = string.match(redis.call('HGET', rows, ARGV[1]) or '', '^%d+ (%d+) ')
if stored and tonumber(stored) >= tonumber(ARGV[2]) then return 0 end

local function forget(ids)
  many('ZREM', began, ids)
  many('HDEL', rows, ids)
end

-- Whoever discards what fills a server has to say so first.
write_even_if_full()
redis.call('HSET', rows, ARGV[1], whole(now) .. ' ' .. ARGV[2] .. ' ' .. ARGV[4])
if redis.call('ZADD', began, 'NX', whole(now), ARGV[1]) == 0 then return 1 end
forget(redis.call('ZRANGEBYSCORE', began, '-inf', '(' .. whole(now - tonumber(ARGV[3]))))
forget(redis.call('ZRANGE', began, 0, -1001))
return 1
