-- What is known of one batch is in `q` of a hash tag of its own. ARGV: receipt ms, 'wait', the event ('complete' or 'death'), how many
-- members, and where the job is that waits; or 'count', and for each end or death of a member its id and 'e' or 'd'; or 'done', and the
-- events whose jobs were told. Answers members, ended, deaths, and where the jobs are that wait and have not been told ('' if none).
local bad = wrong_head()
if bad then return bad end
local what, MONTH, TEN_YEARS = ARGV[2], 2592000000, 315360000000
local found = redis.call('HMGET', Q, 'members', 'ended', 'deaths', 'complete', 'death', 'told_complete', 'told_death')
local members, ended, deaths = tonumber(found[1] or 0), tonumber(found[2] or 0), tonumber(found[3] or 0)
local complete, death = found[4] or '', found[5] or ''

write_even_if_full()
if what == 'wait' then
  if ARGV[3] == 'complete' then complete = ARGV[5] else death = ARGV[5] end
  members = tonumber(ARGV[4])
  redis.call('HSET', Q, 'members', members, ARGV[3], ARGV[5])
elseif what == 'count' then
  for i = 3, #ARGV, 2 do
    -- Word of the same end may come twice.
    local field = ARGV[i + 1] .. ARGV[i]
    if redis.call('HEXISTS', Q, field) == 0 then
      redis.call('HSET', Q, field, '')
      if ARGV[i + 1] == 'e' then ended = ended + 1 else deaths = deaths + 1 end
    end
  end
  redis.call('HSET', Q, 'ended', ended, 'deaths', deaths)
else
  for i = 3, #ARGV do redis.call('HSET', Q, 'told_' .. ARGV[i], 1) end
end
local over = members > 0 and ended >= members
-- Ends may be told long before the job that waits is: nobody may work on its queue.
redis.call('PEXPIRE', Q, over and ARGV[1] or members == 0 and MONTH or TEN_YEARS)
-- One that has come since has not been told yet.
local told_complete, told_death = found[6] and complete == found[4], found[7] and death == found[5]
return { members, ended, deaths, not told_complete and complete or '', not told_death and death or '' }
