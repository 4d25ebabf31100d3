-- ARGV: name, then `pause`, `resume`, `remove`, or `unchanged` to remove it if version and watermark (ms) are these. KEYS: the
-- schedules of the queue. Answers 1 if it is done.
local key, change = KEYS[HEAD + 1], ARGV[2]
local bad = wrong_head() or wrong_type(HEAD + 1, HEAD + 1, 'hash')
if bad then return bad end
local it = schedule_of(key, ARGV[1])
if not it then return 0 end
if change == 'unchanged' and (it.version ~= tonumber(ARGV[3]) or it.watermark ~= tonumber(ARGV[4])) then return 0 end
write_even_if_full()
if change == 'remove' or change == 'unchanged' then
  redis.call('HDEL', key, ARGV[1])
  return 1
end
if change == 'resume' and it.paused then it.watermark = now_ms() end
it.paused = change == 'pause'
write_schedule(key, it)
return 1
