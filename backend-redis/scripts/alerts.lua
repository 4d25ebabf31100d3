-- What workers have raised is in `q` of a hash tag of its own: for each when its last report ends (ms), a blank, and its alerts as JSON.
-- ARGV: nothing to look; or to report, the worker, for how long (ms), and its alerts ('' if it has none). Answers the alerts of each
-- report that is not over. There are as many as workers that had something to report, and those that are over are forgotten.
local bad = wrong_head()
if bad then return bad end
local now, shown, over = now_ms(), {}, {}
local found = redis.call('HGETALL', Q)
for i = 1, #found, 2 do
  local ends, alerts = string.match(found[i + 1], '^(%d+) (.*)$')
  if ends and tonumber(ends) > now then
    shown[#shown + 1] = alerts
  else
    over[#over + 1] = found[i]
  end
end
if #ARGV > 0 or #over > 0 then write_even_if_full() end
many('HDEL', Q, over)
if #ARGV == 0 then return shown end
if ARGV[3] == '' then
  redis.call('HDEL', Q, ARGV[1])
else
  redis.call('HSET', Q, ARGV[1], whole(now + ARGV[2]) .. ' ' .. ARGV[3])
end
return {}
