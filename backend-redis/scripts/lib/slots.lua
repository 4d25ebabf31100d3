-- What a lease takes of limits is in its field `g`: for each limit its name, how many of its jobs are counted, the numbers of the kinds
-- under it (4 digits each), and how many were taken under it at first.
local Slots = part(function()
  local SHARD = string.match(Q, ':(%d+)}q$') or ''

  -- `size`: how many jobs the lease had, if it matters which slots count all of them.
  local function read(text, size)
    local slots = {}
    for name, count, kinds, taken in string.gmatch(text or '', '(%S+)\t(%d+)\t(%x+)\t(%d+)') do
      local slot = { name = name, count = tonumber(count), kinds = kinds, taken = tonumber(taken), known = {} }
      slot.whole = slot.taken == size
      slots.mixed = slots.mixed or not slot.whole
      slots[#slots + 1] = slot
    end
    return slots
  end

  local function to_text(slots)
    local list = {}
    for i, slot in ipairs(slots) do list[i] = table.concat({ slot.name, whole(slot.count), slot.kinds, whole(slot.taken) }, '\t') end
    return table.concat(list, '\n')
  end

  -- True if jobs of this kind are counted.
  local function is_counted(slot, kind)
    local known = slot.known[kind]
    if known ~= nil then return known end
    local digits = string.format('%04x', kind)
    known = false
    for at = 1, #slot.kinds, 4 do known = known or string.sub(slot.kinds, at, at + 3) == digits end
    slot.known[kind] = known
    return known
  end

  -- The homes of limits that a script may touch: three keys each, from `first`.
  local homes = {}
  local function know(names, first)
    local number = 0
    for name in string.gmatch(names, '%S+') do
      homes[name] = { unpack(KEYS, first + 3 * number, first + 3 * number + 2) }
      number = number + 1
    end
  end

  local function wrong_keys(first, count)
    for at = first, first + 3 * count - 1, 3 do
      local bad = wrong_type(at, at, 'hash') or wrong_type(at + 1, at + 1, 'zset') or wrong_type(at + 2, at + 2, 'hash')
      if bad then return bad end
    end
  end

  local function lessen(slot, count)
    if slot.count > 0 and count > 0 then slot.count, slot.changed = math.max(0, slot.count - count), true end
  end

  -- One job of this kind less, in the slots that do not count all.
  local function free(slots, kind)
    for _, slot in ipairs(slots) do
      if not slot.whole and is_counted(slot, kind) then lessen(slot, 1) end
    end
  end

  -- This many jobs less, in those that do.
  local function free_whole(slots, count)
    for _, slot in ipairs(slots) do
      if slot.whole then lessen(slot, count) end
    end
  end

  -- Tells the homes of the limits what a lease has left, all of them if `all`; what cannot be written here goes to `told`.
  local function tell(lease, slots, all, told)
    for _, slot in ipairs(slots) do
      local news = all or slot.changed
      if news and homes[slot.name] then
        local q, x, run = unpack(homes[slot.name])
        Limits.lower(q, x, run, lease .. SHARD, slot.count)
      elseif news then
        told[#told + 1] = { slot.name, lease .. SHARD, slot.count }
      end
    end
  end

  -- What a lease of an earlier claim took, for its answer (see claim).
  local function used_before(used, no, leases, text)
    for _, slot in ipairs(read(text)) do
      local row
      for _, known in ipairs(used) do
        if known[1] == slot.name then row = known end
      end
      if not row then
        row = { slot.name, 0 }
        for i = 1, leases do row[i + 2] = 0 end
        used[#used + 1] = row
      end
      row[2], row[no + 2] = row[2] + slot.taken, slot.count
    end
  end

  return { shard = SHARD, read = read, to_text = to_text, homes = homes, know = know, wrong_keys = wrong_keys, free = free,
    free_whole = free_whole, tell = tell, used_before = used_before }
end)
