-- Looks whether lines are what their jobs say. ARGV: '1' to repair, then 'waiting' and members of LW, 'turns' and members of LO, or 'states'
-- and for each line its name, itself as it was before its jobs were counted, and how many are out. KEYS: the lanes of all kinds.
-- Answers how much was wrong.
local bad = wrong_head() or wrong_type(HEAD + 1, #KEYS, 'zset')
if bad then return bad end
local repair, what, wrong = ARGV[1] == '1', ARGV[2], 0

-- Counts who waits again, and puts the line where it belongs.
local function count_again(line)
  wrong = wrong + 1
  if not repair then return end
  line.waiting = redis.call('ZLEXCOUNT', LW, '[' .. line.name, '(' .. line.name .. '\1')
  if line.entry and not redis.call('ZSCORE', LO, line.entry) then line.where, line.entry = 0, nil end
  Lines.touch(line)
end

if what == 'waiting' then
  for i = 3, #ARGV do
    local member = ARGV[i]
    local handle, name = string.sub(member, -HANDLE), string.sub(member, 1, -HANDLE - 9)
    local line, place = Lines.at(name), struct.unpack('>I8', member, #name + 1)
    local lane = KEYS[HEAD + kind_of(handle)]
    local score = tonumber(lane and redis.call('ZSCORE', lane, handle) or 0)
    if redis.call('ZSCORE', LW, member) and (score < LINE or (score - LINE ~= place and line.head ~= id_of(handle))) then
      if repair then redis.call('ZREM', LW, member) end
      count_again(line)
    elseif redis.call('HEXISTS', LS, name) == 0 and not line.touched then
      line.kind = kind_of(handle)
      count_again(line)
    end
  end
elseif what == 'turns' then
  for i = 3, #ARGV do
    if redis.call('ZSCORE', LO, ARGV[i]) and Lines.at(Lines.name_in(ARGV[i])).entry ~= ARGV[i] then
      wrong = wrong + 1
      if repair then redis.call('ZREM', LO, ARGV[i]) end
    end
  end
else
  for i = 3, #ARGV, 3 do
    local name, out = ARGV[i], tonumber(ARGV[i + 2])
    -- One that has changed meanwhile is in use, and its jobs may have been counted too late.
    if redis.call('HGET', LS, name) == ARGV[i + 1] then
      local line = Lines.at(name)
      local waiting = redis.call('ZLEXCOUNT', LW, '[' .. name, '(' .. name .. '\1')
      local lost = line.entry and not redis.call('ZSCORE', LO, line.entry)
      if line.out ~= out or line.waiting ~= waiting or lost then
        if repair then line.out = out end
        count_again(line)
      end
    end
  end
end
keep_lines()
return wrong
