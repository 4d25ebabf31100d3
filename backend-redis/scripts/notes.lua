-- ARGV: job id. Answers the time and the job's notes.
local bad = wrong_head()
if bad then return bad end
return { now_ms(), redis.call('HGET', N, ARGV[1]) or '' }
