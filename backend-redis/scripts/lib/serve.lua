-- Lines give jobs in the order of their turns. `room`: how many bytes there is room for in one answer.

-- Reads the jobs, as many of them as there is room for: their ids, themselves, whether one is not there, and their bytes. `some`: others
-- have been read, so there need not be room for the first.
local function read_jobs(handles, room, some)
  local ids, jobs, bytes, missing = {}, {}, 0, false
  for from = 1, #handles, 100 do
    local part, count = {}, 0
    for i = from, math.min(#handles, from + 99) do
      count = count + 1
      part[count] = id_of(handles[i])
    end
    for i, job in ipairs(redis.call('HMGET', J, unpack(part))) do
      local size = job and #job or 0
      if not job then missing = true end
      if bytes + size > room and (some or #ids > 0) then return ids, jobs, missing, bytes end
      bytes = bytes + size
      ids[from + i - 1] = part[i]
      jobs[from + i - 1] = job
    end
  end
  return ids, jobs, missing, bytes
end

local Serve = part(function()
  -- Lines that have slept long enough have a turn again, and so may those of a kind of which other limits were declared.
  local function wake_lines(now, most, look)
    local due = redis.call('ZRANGEBYLEX', LO, '[\0\0\0', '(\0\0\0' .. struct.pack('>I8', now + 1), 'LIMIT', 0, most + 100)
    for _, entry in ipairs(due) do Lines.touch(Lines.at(Lines.name_in(entry))) end
    if look then
      local some = redis.call('ZRANGEBYLEX', LO, '(' .. look, '(\0\1', 'LIMIT', 0, 200)
      for _, entry in ipairs(some) do Lines.touch(Lines.at(Lines.name_in(entry))) end
      if #some < 200 then redis.call('HDEL', Q, 'look') else redis.call('HSET', Q, 'look', some[#some]) end
    end
    Lines.keep()
  end

  -- Kinds: the number and lane of each.
  local function serving_of(kinds, now, room)
    local it = { looks = 0, sources = {}, again = {}, next_again = 1, now = now, room = room, handles = {}, ids = {}, jobs = {}, members = {}, lanes = {} }
    for i, kind in ipairs(kinds) do
      it.sources[i] = { kind = kind, list = {}, at = 1, after = '[' .. struct.pack('>I2', kind.number), step = 16 }
    end
    return it
  end

  -- The first line of a kind that has not been looked at.
  local function first_turn(source)
    if source.at > #source.list and not source.over then
      local upto = '(' .. struct.pack('>I2', source.kind.number) .. '\1'
      source.list = redis.call('ZRANGEBYLEX', LO, source.after, upto, 'LIMIT', 0, source.step)
      source.over = #source.list < source.step
      source.at, source.step = 1, math.min(source.step * 2, 1000)
      if #source.list > 0 then source.after = '(' .. source.list[#source.list] end
    end
    return source.list[source.at]
  end

  -- `cut`: a line whose turn a limit has cut short.
  local function next_line(it)
    local best, turn
    for _, source in ipairs(it.sources) do
      local open = left_of(source.kind.lane) > 0
      local entry = open and not source.kind.cut and first_turn(source)
      local at = entry and struct.unpack('>I8', entry, 3) or open and source.kind.cut and source.kind.cut.at
      if at and (not turn or at < turn) then best, turn = source, at end
    end
    if best and best.kind.cut then
      local line = best.kind.cut
      best.kind.cut = nil
      return line, best.kind
    elseif best then
      best.at = best.at + 1
      return Lines.at(Lines.name_in(best.list[best.at - 1])), best.kind
    end
    -- Lines that have had a turn in this claim, in the order of their next one.
    for i = it.next_again, #it.again do
      local line, kind = unpack(it.again[i])
      if left_of(kind.lane) > 0 then
        -- Those before it come when there is room under their limits, which may be in this claim.
        for k = i, it.next_again + 1, -1 do it.again[k] = it.again[k - 1] end
        it.next_again = it.next_again + 1
        return line, kind
      end
    end
  end

  -- Who waits in a line, the first ones; nothing leaves it before all of a claim has been taken.
  local function first_waiting(line, count)
    local members = {}
    line.list, line.next = line.list or {}, line.next or 1
    while #members < count do
      local member = line.list[line.next]
      if member then
        members[#members + 1] = member
        line.next = line.next + 1
      elseif line.drained then
        break
      else
        local step = math.max(count, line.step or 1)
        local after = line.last and '(' .. line.last or '[' .. line.name
        line.list = redis.call('ZRANGEBYLEX', LW, after, '(' .. line.name .. '\1', 'LIMIT', 0, step)
        line.next, line.step, line.last = 1, math.min(step * 2, 1000), line.list[#line.list]
        line.drained = #line.list < step
      end
    end
    return members
  end

  -- A line gives jobs; answers how many.
  local function give(it, line, lane, count)
    local members, handles, given = first_waiting(line, count), {}, 0
    for i, member in ipairs(members) do handles[i] = string.sub(member, -HANDLE) end
    local ids, jobs, _, bytes = read_jobs(handles, it.room, #it.ids > 0)
    it.room, it.full = it.room - bytes, #ids < #handles
    -- Other hands have been at it.
    if #members == 0 then line.waiting = 0 end
    local rule = Lines.rule_of(line)
    for i, id in ipairs(ids) do
      it.members[#it.members + 1] = members[i]
      it.lanes[lane] = it.lanes[lane] or {}
      table.insert(it.lanes[lane], handles[i])
      line.waiting = line.waiting - 1
      if jobs[i] then
        local at = #it.ids + 1
        it.ids[at], it.handles[at], it.jobs[at] = id, handles[i], jobs[i]
        given = given + 1
        Lines.set_letter(id, 'o', line.name)
        if line.head == id then line.back = 0 end
        if rule.ordered then line.head, line.back = id, 0 end
      end
    end
    line.out, line.given = line.out + given, line.given + given
    if rule.burst and given > 0 then line.full = spent(line.full, rule.interval, given, it.now) end
    spend(lane, given)
    return given
  end

  -- Lines give up to `limit` jobs; answers how many.
  local function serve(it, limit)
    local left = limit
    -- Lines of which less was declared may have turns and nothing to give; not all of them are looked at in one claim.
    while left > 0 and not it.full and it.looks < limit + 1000 do
      it.looks = it.looks + 1
      if not it.line then it.line, it.kind = next_line(it) end
      local line, kind = it.line, it.kind
      if not line then break end
      local count = math.min(left, left_of(kind.lane), Lines.may_leave(line, it.now), line.weight - line.given)
      Lines.touch(line)
      if count > 0 then left = left - give(it, line, kind.lane, count) end
      -- A turn that is cut short goes on with what follows in this claim, or in the next one.
      if Lines.may_leave(line, it.now) == 0 then
        it.line = nil
      elseif line.given >= line.weight then
        line.given, line.at, it.line = 0, Lines.next_turn(), nil
        it.again[#it.again + 1] = { line, kind }
      elseif left_of(kind.lane) <= 0 then
        kind.cut, it.line = line, nil
      end
    end
    return limit - left
  end

  -- Writes what has been given.
  local function end_serving(it)
    many('ZREM', LW, it.members)
    for lane, handles in pairs(it.lanes) do many('ZREM', lane, handles) end
    Lines.keep()
  end

  -- In how many ms it makes sense to ask again for what these kinds have in lines; nothing if nothing is held up.
  local function lines_wait(kinds, now)
    for _, kind in ipairs(kinds) do
      local held = '\0\0\1' .. struct.pack('>I2', kind.number)
      local found = redis.call('ZRANGEBYLEX', LO, '[' .. held, '(' .. held .. '\255', 'LIMIT', 0, 1)
      if found[1] then return 50 end
    end
    local first = redis.call('ZRANGEBYLEX', LO, '[\0\0\0', '(\0\0\1', 'LIMIT', 0, 1)
    return first[1] and math.max(1, math.ceil((struct.unpack('>I8', first[1], 4) - now) / 1000))
  end

  -- The kinds of these lanes by their numbers.
  local function kinds_of(lanes)
    local names, kinds, numbers = {}, {}, {}
    for i, lane in ipairs(lanes) do names[i] = string.sub(lane, #Q + 2) end
    for i, number in ipairs(redis.call('HMGET', KINDS, unpack(names))) do
      numbers[i] = tonumber(number or 0)
      kinds[i] = { number = numbers[i], lane = lanes[i] }
    end
    if limited then Budgets.number(lanes, numbers) end
    return kinds
  end

  -- The lines of these kinds, if one has a turn.
  local function open(kinds, now, limit, room, look)
    wake_lines(now, limit, look)
    local serving = serving_of(kinds, now, room)
    serving.line, serving.kind = next_line(serving)
    return serving.line and serving
  end

  local function append(list, more)
    for _, item in ipairs(more) do list[#list + 1] = item end
  end

  -- Takes what comes first in lines and lanes, about half of it from either if both have enough.
  local function take(it, limit, lanes, take_lanes)
    -- The odd one goes to either in turn.
    local odd, rests = tonumber(redis.call('HGET', Q, 'odd') or 0) % 2, {}
    local function half(number) return math.floor((number + odd) / 2) end
    local budgets = limited and Budgets.list or {}
    for i, budget in ipairs(budgets) do
      rests[i] = budget.left - half(budget.left)
      budget.left = half(budget.left)
    end
    local served = serve(it, half(limit))
    for i, budget in ipairs(budgets) do budget.left = budget.left + rests[i] end
    if not it.full then
      local full, handles, ids, jobs = take_lanes(lanes, limit - served, it.room, served > 0)
      if not full then serve(it, limit - served - #ids) end
      append(it.handles, handles)
      append(it.ids, ids)
      append(it.jobs, jobs)
    end
    end_serving(it)
    -- Not for a claim that finds nothing: every second one may be of that sort.
    if #it.ids > 0 then redis.call('HINCRBY', Q, 'odd', 1) end
    return it.handles, it.ids, it.jobs
  end

  return { kinds_of = kinds_of, open = open, take = take, wait_for = lines_wait }
end)
