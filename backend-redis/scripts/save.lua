-- Writes notes of one job. ARGV: its place in the lease, its id, then for each note its name, '1' to write it or '0' to take it away,
-- and the value. KEYS: the lease. Answers 1, or 0 if the lease does not hold the job.
local bad = wrong_type(1, HEAD) or wrong_type(HEAD + 1, HEAD + 1, 'hash')
if bad then return bad end
local place, id = tonumber(ARGV[1]), ARGV[2]
local found = redis.call('HMGET', KEYS[HEAD + 1], 'h', 'f')
local fate = string.sub(found[2] or '', place + 1, place + 1)
if fate ~= 'h' and fate ~= 'c' then return 0 end
if id_of(handle_at(found[1], place + 1)) ~= id or redis.call('HEXISTS', J, id) == 0 then return 0 end

-- One after the other: length of the name (2 bytes), time (8), length of the value (4), name, value.
local names, notes, at = {}, {}, 1
local kept, now = redis.call('HGET', N, id) or '', now_ms()
while at <= #kept do
  local name, size = struct.unpack('>I2', kept, at), struct.unpack('>I4', kept, at + 10)
  local whole_size = 14 + name + size
  names[#names + 1] = string.sub(kept, at + 14, at + 13 + name)
  notes[names[#names]] = string.sub(kept, at, at + whole_size - 1)
  at = at + whole_size
end
for i = 3, #ARGV, 3 do
  local name, value = ARGV[i], ARGV[i + 2]
  if ARGV[i + 1] == '1' and not notes[name] then names[#names + 1] = name end
  notes[name] = ARGV[i + 1] == '1' and struct.pack('>I2I8I4', #name, now, #value) .. name .. value or nil
end
local text, seen = {}, {}
for _, name in ipairs(names) do
  if notes[name] and not seen[name] then text[#text + 1] = notes[name] end
  seen[name] = true
end

write_even_if_full()
if #text > 0 then redis.call('HSET', N, id, table.concat(text)) else redis.call('HDEL', N, id) end
return 1
