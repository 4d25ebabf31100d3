-- Removes dead jobs. ARGV: job ids. Answers a letter each: 1 done, 0 not.
local bad = wrong_head()
if bad then return bad end
local letters, gone = {}, {}
for _, id in ipairs(ARGV) do
  local job = redis.call('HGET', J, id)
  local done = job and redis.call('ZREM', D, handle_of(id, job)) == 1
  letters[#letters + 1] = done and '1' or '0'
  if done then gone[#gone + 1] = id end
end
finish(gone)
keep_lines()
return table.concat(letters)
