-- Keeps schedules. ARGV: for each its name, its definition and its job. KEYS: the schedules of the queue. The same definition keeps
-- version and watermark; another one begins now.
local bad = wrong_head() or wrong_type(HEAD + 1, HEAD + 1, 'hash')
if bad then return bad end
local key, now = KEYS[HEAD + 1], now_ms()
for at = 1, #ARGV, 3 do
  local it = schedule_of(key, ARGV[at])
  if not it or it.definition ~= ARGV[at + 1] then
    local version = redis.call('HINCRBY', Q, 'schedules', 1)
    it = { name = ARGV[at], version = version, watermark = now, paused = it and it.paused, definition = ARGV[at + 1] }
  end
  if it.job ~= ARGV[at + 2] then
    it.job = ARGV[at + 2]
    write_schedule(key, it)
  end
end
return 1
