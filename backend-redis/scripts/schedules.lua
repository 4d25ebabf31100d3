-- Answers the clock in ms, and for each schedule its name, version, watermark in ms, whether it is paused, its definition and its job.
-- KEYS: the schedules of the queue.
local bad = wrong_head() or wrong_type(HEAD + 1, HEAD + 1, 'hash')
if bad then return bad end
local found = { now_ms() }
local all = redis.call('HGETALL', KEYS[HEAD + 1])
for i = 1, #all, 2 do
  local it = read_schedule(all[i], all[i + 1])
  if it then
    found[#found + 1] = { it.name, whole(it.version), whole(it.watermark), it.paused and 1 or 0, it.definition, it.job }
  end
end
return found
