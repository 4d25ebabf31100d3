-- Keeps what holds for kinds of a queue, in the first of its shards. ARGV: for each kind its name, the names of its limits with blanks between
-- them, and what its lines may take: concurrency, µs for a token, burst (a dash for none), and 1 if they are in order; '' for nothing.
local bad = wrong_head()
if bad then return bad end
local changes, lines_differ = {}, false
for i = 1, #ARGV, 3 do
  for no, field in ipairs({ 'limits:' .. ARGV[i], 'line:' .. ARGV[i] }) do
    local text = ARGV[i + no]
    if (redis.call('HGET', Q, field) or '') ~= text then
      changes[#changes + 1] = { field, text }
      lines_differ = lines_differ or no == 2
    end
  end
end
for _, change in ipairs(changes) do
  if change[2] ~= '' then redis.call('HSET', Q, change[1], change[2]) else redis.call('HDEL', Q, change[1]) end
end
-- Claims look again at lines that have no turn, from the first one.
if lines_differ then redis.call('HSET', Q, 'look', '') end
return #changes
