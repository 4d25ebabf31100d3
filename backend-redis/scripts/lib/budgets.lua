-- The limits of a claim. Those whose homes this script may touch are read and written here; of others the client has permits, and is
-- told how many were used.
local Budgets = part(function()
  local limits, limits_of, lane_by_number, NONE = {}, {}, {}, {}
  -- The lane of all jobs of this claim, if there is but one.
  local only

  -- For each limit its name, the places of its kinds among those of the claim, then what the client has: permits, when to ask again (ms),
  -- and whether its jobs are counted; or dashes.
  local function read(text, lanes, most)
    for name, places, left, wait, counted in string.gmatch(text, '(%S+) (%S+) (%S+) (%S+) (%S+)') do
      local limit = { name = name, left = tonumber(left), wait = tonumber(wait), counted = counted == '1', kinds = '', taken = {}, total = 0 }
      local binds = limit.left ~= nil
      if not binds then
        limit.home = Limits.home_at(unpack(Slots.homes[name]))
        limit.left = Limits.budget_of(limit.home, most)
        limit.counted = limit.home.concurrency ~= nil
        binds = limit.counted or limit.home.burst or limit.left == 0
      end
      for place in string.gmatch(binds and places or '', '%d+') do
        local lane = lanes[tonumber(place)]
        local list = limits_of[lane] or {}
        if list[#list] ~= limit then list[#list + 1] = limit end
        limits_of[lane] = list
      end
      if binds then limits[#limits + 1] = limit end
    end
  end

  -- How many jobs of a lane the limits still allow.
  local function left_of(lane)
    local left = math.huge
    for _, limit in ipairs(limits_of[lane] or NONE) do left = math.min(left, limit.left) end
    return left
  end

  local function spend(lane, count)
    for _, limit in ipairs(limits_of[lane] or NONE) do limit.left = limit.left - count end
  end

  local function give_back(handle) spend(lane_by_number[kind_of(handle)], -1) end

  -- Notes what a lease has taken. `no`: which of the leases of the claim it is; `ends`: when those end who hold.
  local function count_slots(no, key, lease, handles, ends)
    local function add(lane, n)
      for _, limit in ipairs(limits_of[lane] or NONE) do
        limit.taken[no] = (limit.taken[no] or 0) + n
        limit.total = limit.total + n
      end
    end
    if only then
      add(only, #handles)
    else
      for _, handle in ipairs(handles) do add(lane_by_number[kind_of(handle)], 1) end
    end
    local slots = {}
    for _, limit in ipairs(limits) do
      local taken = limit.taken[no]
      if taken and (limit.counted or not limit.home) then
        local count = limit.counted and taken or 0
        slots[#slots + 1] = { name = limit.name, count = count, kinds = limit.kinds, taken = taken }
        if limit.home then Limits.take(limit.home, lease .. Slots.shard, count, ends) end
      end
    end
    if #slots > 0 then redis.call('HSET', key, 'g', Slots.to_text(slots)) end
  end

  -- The kinds under each limit by their numbers.
  local function number(lanes, numbers)
    only = #lanes == 1 and lanes[1]
    for i, lane in ipairs(lanes) do
      lane_by_number[numbers[i]] = lane
      for _, limit in ipairs(limits_of[lane] or NONE) do limit.kinds = limit.kinds .. string.format('%04x', numbers[i]) end
    end
  end

  -- Takes the tokens of what was taken. Answers for each limit of which the client has permits its name, how many were used, and how many
  -- of them each lease holds.
  local function settle(leases)
    local used = {}
    for _, limit in ipairs(limits) do
      if limit.home then
        Limits.settle(limit.home, limit.total)
      else
        local row = { limit.name, limit.total }
        for no = 1, leases do row[no + 2] = limit.counted and limit.taken[no] or 0 end
        used[#used + 1] = row
      end
    end
    return used
  end

  -- In how many ms to ask again for what limits have left in these lanes; nothing if they have left nothing.
  local function wait_for(lanes)
    local soonest
    for _, lane in ipairs(lanes) do
      if limits_of[lane] and left_of(lane) <= 0 and redis.call('EXISTS', lane) == 1 then
        for _, limit in ipairs(limits_of[lane]) do
          local wait = limit.wait
          if limit.home then
            local _
            _, wait = Limits.budget_of(limit.home, 1)
          end
          if limit.left <= 0 and (not soonest or wait < soonest) then soonest = wait end
        end
      end
    end
    return soonest
  end

  return { list = limits, of_lane = limits_of, read = read, left_of = left_of, spend = spend, give_back = give_back, number = number,
    count_slots = count_slots, settle = settle, wait_for = wait_for }
end)

-- True if a claim is under limits.
local limited = false
local function left_of(lane) return limited and Budgets.left_of(lane) or math.huge end
local function spend(lane, count)
  if limited then Budgets.spend(lane, count) end
end
