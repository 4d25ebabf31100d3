-- Looks whether rows about operations are listed, and whether what is listed has a row. ARGV: '1' to repair, what the ids are of (rows or
-- began), the ids. KEYS: those of note_operation. Answers how many are not. One whose beginning is lost begins when it was noted last.
local bad = wrong_head() or wrong_type(HEAD + 1, HEAD + 1, 'hash') or wrong_type(HEAD + 2, HEAD + 2, 'zset')
if bad then return bad end
local rows, began, wrong = KEYS[HEAD + 1], KEYS[HEAD + 2], 0
for i = 3, #ARGV do
  local row, listed = redis.call('HGET', rows, ARGV[i]), redis.call('ZSCORE', began, ARGV[i])
  local noted = row and string.match(row, '^(%d+) %d+ ')
  -- What is not there at all has gone since it was seen.
  if (row or listed) and not (noted and listed) then
    wrong = wrong + 1
    if ARGV[1] == '1' then
      if noted then
        redis.call('ZADD', began, noted, ARGV[i])
      else
        redis.call('ZREM', began, ARGV[i])
        redis.call('HDEL', rows, ARGV[i])
      end
    end
  end
end
return wrong
