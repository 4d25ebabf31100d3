-- Gives kinds their numbers. ARGV: names of kinds.
local bad = wrong_type(1, HEAD)
if bad then return bad end
for _, kind in ipairs(ARGV) do
  if redis.call('HEXISTS', KINDS, kind) == 0 then
    local number = redis.call('HLEN', KINDS) + 1
    if number > 65535 then return redis.error_reply('REJECTED a queue has at most 65535 kinds') end
    redis.call('HSET', KINDS, kind, number)
  end
end
return 1
