-- Writes notes of one job. ARGV: its place in the lease, its id, then for each note its name, '1' to write it or '0' to take it away,
-- and the value. KEYS: the lease. Answers 1, or 0 if the lease does not hold the job.
local bad = wrong_head() or wrong_type(HEAD + 1, HEAD + 1, 'hash')
if bad then return bad end
local place, id = tonumber(ARGV[1]), ARGV[2]
local found = redis.call('HMGET', KEYS[HEAD + 1], 'h', 'f')
local fate = string.sub(found[2] or '', place + 1, place + 1)
if fate ~= 'h' and fate ~= 'c' then return 0 end
if id_of(handle_at(found[1], place + 1)) ~= id or redis.call('HEXISTS', J, id) == 0 then return 0 end

local notes = edited_notes(id, edits_from(3))

write_even_if_full()
keep_notes(id, notes)
return 1
