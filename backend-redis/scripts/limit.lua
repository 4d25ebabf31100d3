-- One limit, in a hash tag of its own. ARGV: what to do, then
-- 'look': answers what is declared, what is set ('' for neither), how many jobs are counted, for how many ms it stays closed, what it
-- has adapted to (-1: its rule does not adapt).
-- 'declared' or 'set', the rule or '': answers 1 if that is news.
-- 'adapt', '' for one more, or how many ms ago a job was claimed that failed: answers how many may run now, -1 if the rule does not adapt.
-- 'close', ms; 'open'.
-- 'permit', holder, how many, ms until it ends: answers how many it got, in how many ms to ask again, and 1 if they are counted (-1: nor limited). Asked
-- again it answers the same, until 'keep' says that fewer were used.
-- 'keep', holder, how many of its permits were used, ms until holders end, then for each holder how many jobs of it are counted.
-- 'lower', then for each holder how many of its jobs are left.
-- 'extend', ms until they end, then for each holder how many jobs it has.
local bad = wrong_head()
if bad then return bad end
local what = ARGV[1]
write_even_if_full()
if what == 'lower' then
  for i = 2, #ARGV, 2 do Limits.lower(Q, X, RUN, ARGV[i], tonumber(ARGV[i + 1])) end
  return 1
end
local home = Limits.home_at(Q, X, RUN)
local now = math.floor(home.now / 1000)

if what == 'look' then
  local found = redis.call('HMGET', Q, 'declared', 'set')
  return { found[1] or '', found[2] or '', home.concurrency and home.used or 0, math.max(0, home.closed - now),
    home.least and home.concurrency or -1 }
elseif what == 'declared' or what == 'set' then
  if (redis.call('HGET', Q, what) or '') == ARGV[2] then return 0 end
  if ARGV[2] ~= '' then redis.call('HSET', Q, what, ARGV[2]) else redis.call('HDEL', Q, what) end
  return 1
elseif what == 'adapt' then
  local claimed, next = tonumber(ARGV[2]), home.concurrency
  if not home.least then return -1 end
  if not claimed then
    next = math.min(home.most, next + 1)
  -- A clock that went back has not seen the last time yet.
  elseif home.lowered < now - claimed or home.lowered > now then
    next = math.max(math.min(home.least, next), next - math.ceil(next / 4))
  end
  if next < home.concurrency then redis.call('HSET', Q, 'lowered', whole(now)) end
  if next ~= home.concurrency then redis.call('HSET', Q, 'adapted', next) end
  return next
elseif what == 'close' then
  redis.call('HSET', Q, 'closed', whole(math.max(home.closed, now + tonumber(ARGV[2]))))
elseif what == 'open' then
  redis.call('HDEL', Q, 'closed')
elseif what == 'permit' then
  local holder, ends = ARGV[2], whole(now + tonumber(ARGV[4]))
  local _, known = Limits.held_by(RUN, holder)
  local counted = home.concurrency and 1 or 0
  if known then return { known, 50, counted } end
  local count, wait = Limits.budget_of(home, tonumber(ARGV[3]))
  -- Nothing to give back.
  if not (home.concurrency or home.burst) then return { count, wait, -1 } end
  if count == 0 then return { 0, wait, counted } end
  Limits.hold(home, holder, counted * count, ends, count)
  Limits.take_tokens(home, count)
  -- When there is one more.
  if count < tonumber(ARGV[3]) then _, wait = Limits.budget_of(home, 1) end
  return { count, wait, counted }
elseif what == 'keep' then
  local holder, used, ends = ARGV[2], tonumber(ARGV[3]), whole(now + tonumber(ARGV[4]))
  local held, got = Limits.held_by(RUN, holder)
  if got and used < got then Limits.take_tokens(home, used - got) end
  for i = 5, #ARGV, 2 do
    local count = tonumber(ARGV[i + 1])
    if ARGV[i] ~= holder then
      if count > 0 then Limits.hold(home, ARGV[i], count, ends) end
    elseif got then
      Limits.hold(home, holder, math.min(held, count), ends, math.min(got, used))
    end
  end
  if used == 0 then
    redis.call('HDEL', RUN, holder)
    redis.call('ZREM', X, holder)
  end
elseif what == 'extend' then
  local ends = whole(now + tonumber(ARGV[2]))
  for i = 3, #ARGV, 2 do
    local held, count = Limits.held_by(RUN, ARGV[i]), tonumber(ARGV[i + 1])
    -- One that was forgotten holds again, and one whose verdicts were not heard of no longer all.
    if count ~= held then Limits.hold(home, ARGV[i], count, ends) end
    redis.call('ZADD', X, 'XX', 'GT', ends, ARGV[i])
  end
end
return 1
