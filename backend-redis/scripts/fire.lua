-- One step of a schedule. ARGV: its name, the version and the watermark (ms) that were looked at, the new watermark, then those of an
-- enqueue, none if the step has no job. KEYS: the schedules of the queue, then those of an enqueue. Answers as an enqueue does; or 3: it
-- is not as it was seen; or 4: too early.
local SCHEDULES = HEAD + 1
local bad = wrong_head() or wrong_type(SCHEDULES, SCHEDULES, 'hash')
if bad then return bad end
local it, to, has_jobs = schedule_of(KEYS[SCHEDULES], ARGV[1]), tonumber(ARGV[4]), #ARGV > 4

local function refuse()
  if not it or it.version ~= tonumber(ARGV[2]) or it.paused then return { 3 } end
  if not has_jobs and it.watermark == to then return { 0, '' } end
  if it.watermark ~= tonumber(ARGV[3]) or to <= it.watermark then return { 3 } end
  if to > now_ms() then return { 4 } end
end

local function move()
  it.watermark = to
  write_schedule(KEYS[SCHEDULES], it)
end

if has_jobs then return enqueue_jobs(4, SCHEDULES, refuse, move) end
local refused = refuse()
if refused then return refused end
write_even_if_full()
move()
return { 0, '' }
