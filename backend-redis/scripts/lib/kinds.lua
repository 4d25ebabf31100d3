-- The number of a kind, given now if it is new; nothing if there is none left.
local function number_kind(kind)
  local number = tonumber(redis.call('HGET', KINDS, kind))
  if number then return number end
  number = redis.call('HLEN', KINDS) + 1
  if number > 65535 then return nil end
  redis.call('HSET', KINDS, kind, number)
  return number
end

local function number_kinds(from, to)
  for i = from, to do
    if not number_kind(ARGV[i]) then return redis.error_reply('REJECTED a queue has at most 65535 kinds') end
  end
end
