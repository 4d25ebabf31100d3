-- A page of one sorted set. ARGV: score and handle after which it starts ('' for the first page), limit, '1' for one kind only,
-- its number, then what the rows say of themselves: the state. KEYS: the set. Answers the rows as get does, and score and
-- handle of the last entry looked at ('' at the end of the set).
local bad = wrong_head() or wrong_type(HEAD + 1, HEAD + 1, 'zset')
if bad then return bad end
local set, limit = KEYS[HEAD + 1], tonumber(ARGV[3])
local from = 0
if ARGV[1] ~= '' then
  local rank = redis.call('ZSCORE', set, ARGV[2]) == ARGV[1] and redis.call('ZRANK', set, ARGV[2])
  if rank then
    from = rank + 1
  else
    -- It has left meanwhile: go on where it would be. Entries of one score are in order of their handles.
    from = redis.call('ZCOUNT', set, '-inf', '(' .. ARGV[1])
    local upto = redis.call('ZCOUNT', set, '-inf', ARGV[1])
    while from < upto do
      local middle = math.floor((from + upto) / 2)
      if redis.call('ZRANGE', set, middle, middle)[1] < ARGV[2] then from = middle + 1 else upto = middle end
    end
  end
end
local rows, last = {}, { '', '' }
local found = redis.call('ZRANGE', set, from, from + 499, 'WITHSCORES')
for i = 1, #found, 2 do
  if #rows == limit then break end
  local handle, id = found[i], id_of(found[i])
  last = { found[i + 1], handle }
  local job = (ARGV[4] ~= '1' or kind_of(handle) == tonumber(ARGV[5])) and redis.call('HGET', J, id)
  if job then
    rows[#rows + 1] = row_of(id, ARGV[6], found[i + 1], job)
  end
end
if #rows < limit and #found < 1000 then last = { '', '' } end
return { rows, last[1], last[2] }
