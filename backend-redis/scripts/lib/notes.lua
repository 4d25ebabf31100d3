-- Notes of one job, one after the other: length of the name (2 bytes), time (8), length of the value (4), name, value.

-- Edits from the arguments, from `first`: for each the name, '1' to write it or '0' to take it away, and the value.
local function edits_from(first)
  local edits = {}
  for i = first, #ARGV, 3 do edits[#edits + 1] = { ARGV[i], ARGV[i + 1] == '1' and ARGV[i + 2] } end
  return edits
end

-- The notes of a job as they are after edits, each a name and the value, false to take it away.
local function edited_notes(id, edits)
  local names, notes, at = {}, {}, 1
  local kept, now = redis.call('HGET', N, id) or '', now_ms()
  while at <= #kept do
    local name, size = struct.unpack('>I2', kept, at), struct.unpack('>I4', kept, at + 10)
    local whole_size = 14 + name + size
    names[#names + 1] = string.sub(kept, at + 14, at + 13 + name)
    notes[names[#names]] = string.sub(kept, at, at + whole_size - 1)
    at = at + whole_size
  end
  for _, edit in ipairs(edits) do
    local name, value = edit[1], edit[2]
    if value and not notes[name] then names[#names + 1] = name end
    notes[name] = value and struct.pack('>I2I8I4', #name, now, #value) .. name .. value or nil
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
