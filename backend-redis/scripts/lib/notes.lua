-- Notes of one job, one after the other: length of the name (2 bytes), time (8), length of the value (4), name, value.

-- The notes of a job as they are after edits. ARGV from `first`: for each edit the name, '1' to write it or '0' to take it away, and
-- the value.
local function edited_notes(id, first)
  local names, notes, at = {}, {}, 1
  local kept, now = redis.call('HGET', N, id) or '', now_ms()
  while at <= #kept do
    local name, size = struct.unpack('>I2', kept, at), struct.unpack('>I4', kept, at + 10)
    local whole_size = 14 + name + size
    names[#names + 1] = string.sub(kept, at + 14, at + 13 + name)
    notes[names[#names]] = string.sub(kept, at, at + whole_size - 1)
    at = at + whole_size
  end
  for i = first, #ARGV, 3 do
    local name, value = ARGV[i], ARGV[i + 2]
    if ARGV[i + 1] == '1' and not notes[name] then names[#names + 1] = name end
    notes[name] = ARGV[i + 1] == '1' and struct.pack('>I2I8I4', #name, now, #value) .. name .. value or nil
  end
  local text, seen = {}, {}
  for _, name in ipairs(names) do
    if notes[name] and not seen[name] then text[#text + 1] = notes[name] end
    seen[name] = true
  end
  return table.concat(text)
end

local function keep_notes(id, notes)
  if notes ~= '' then redis.call('HSET', N, id, notes) else redis.call('HDEL', N, id) end
end
