-- A page of lines in which jobs wait, by kind and key. ARGV: the name of the one before ('' for the first page), limit. Answers for each
-- its name, how many wait, how many are out, and its weight.
local bad = wrong_head()
if bad then return bad end
local rows, from = {}, ARGV[1] ~= '' and '[' .. ARGV[1] .. '\1' or '-'
while #rows < tonumber(ARGV[2]) do
  local found = redis.call('ZRANGEBYLEX', LW, from, '+', 'LIMIT', 0, 1)
  if not found[1] then break end
  -- What stands behind the name: place and handle.
  local name = string.sub(found[1], 1, -HANDLE - 9)
  local line = Lines.at(name)
  rows[#rows + 1] = { name, line.waiting, line.out, line.weight }
  from = '[' .. name .. '\1'
end
return rows
