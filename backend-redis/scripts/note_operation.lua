-- Keeps a row about something that was done to many jobs. ARGV: its id, its text. KEYS: the rows by id (when each was noted last, in ms,
-- and its text), and when each began. No more than 1,000 are kept.
local bad = wrong_head() or wrong_type(HEAD + 1, HEAD + 1, 'hash') or wrong_type(HEAD + 2, HEAD + 2, 'zset')
if bad then return bad end
local rows, began, now = KEYS[HEAD + 1], KEYS[HEAD + 2], whole(now_ms())
redis.call('ZADD', began, 'NX', now, ARGV[1])
redis.call('HSET', rows, ARGV[1], now .. ' ' .. ARGV[2])
for _, oldest in ipairs(redis.call('ZRANGE', began, 0, -1001)) do
  redis.call('ZREM', began, oldest)
  redis.call('HDEL', rows, oldest)
end
return 1
