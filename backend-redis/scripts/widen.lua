-- How many shards the queue has: the most that any client ever said. ARGV: how many this one says.
local bad = wrong_head()
if bad then return bad end
local shards = tonumber(redis.call('HGET', Q, 'shards') or 1)
if tonumber(ARGV[1]) > shards then
  shards = tonumber(ARGV[1])
  redis.call('HSET', Q, 'shards', shards)
end
return shards
