-- Makes a job ready that waits for its time. ARGV: channel, queue name, job id, the only time for which it may wait or ''. KEYS: the lanes
-- of all kinds. Answers a letter: 1 done, 0 it does not wait; or a number: the client knows too few kinds.
local bad = wrong_head() or wrong_type(HEAD + 1, #KEYS, 'zset')
if bad then return bad end
local job = redis.call('HGET', J, ARGV[3])
if not job then return '0' end
local handle = handle_of(ARGV[3], job)
local due = redis.call('ZSCORE', WS, handle)
if not due and not redis.call('ZSCORE', WR, handle) then return '0' end
if ARGV[4] ~= '' and tonumber(due or 0) ~= tonumber(ARGV[4]) then return '0' end
-- One that waits for the end of another job has its turn when that has ended.
if waits_for(redis.call('HGET', V, ARGV[3]), ARGV[3]) then return '0' end
if kind_of(handle) > #KEYS - HEAD then return kind_of(handle) end

write_even_if_full()
redis.call('ZREM', WS, handle)
redis.call('ZREM', WR, handle)
make_ready(KEYS[HEAD + kind_of(handle)], handle, priority_of(handle) * PRIORITY + FRESH + draw(1))
keep_lines()
wake(ARGV[1], ARGV[2])
return '1'
