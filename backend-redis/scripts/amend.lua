-- Changes a dead job. ARGV: its id, what of the stored job stands before its payload ('' to leave the payload), the new payload, then
-- for each edit of a note its name, '1' to write it or '0' to take it away, and the value. Answers 1, or 0 if the job is not dead, or
-- not the one that the client has read.
local bad = wrong_head()
if bad then return bad end
local id, before, payload = ARGV[1], ARGV[2], ARGV[3]
local job = redis.call('HGET', J, id)
if not job or not redis.call('ZSCORE', D, handle_of(id, job)) then return 0 end
if string.sub(job, 1, #before) ~= before then return 0 end
local notes = edited_notes(id, edits_from(4))

write_even_if_full()
if before ~= '' then redis.call('HSET', J, id, before .. payload) end
keep_notes(id, notes)
return 1
