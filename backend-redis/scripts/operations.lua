-- Answers for each row of note_operation its id, when it began, when it was noted last (ms), the number of that note, and its text; the
-- one that began last first. ARGV: how many.
local bad = wrong_head() or wrong_type(HEAD + 1, HEAD + 1, 'hash') or wrong_type(HEAD + 2, HEAD + 2, 'zset')
if bad then return bad end
local found, listed = {}, tonumber(ARGV[1]) > 0 and redis.call('ZRANGE', KEYS[HEAD + 2], 0, ARGV[1] - 1, 'REV', 'WITHSCORES') or {}
for i = 1, #listed, 2 do
  local at, number, text = string.match(redis.call('HGET', KEYS[HEAD + 1], listed[i]) or '', '^(%d+) (%d+) (.*)$')
  if at then found[#found + 1] = { listed[i], listed[i + 1], at, number, text } end
end
return found
