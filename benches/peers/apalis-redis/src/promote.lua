-- Moves up to 5,000 jobs that are due to the list of jobs that are ready, and says how many.
local due = redis.call('zrange', KEYS[1], 0, 4999)
if #due > 0 then
  redis.call('rpush', KEYS[2], unpack(due))
  redis.call('zrem', KEYS[1], unpack(due))
end
return #due
