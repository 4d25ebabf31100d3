-- A job with a line waits in that of its kind and key. The name of a line is its kind, a NUL, its key and a NUL; a NUL of the key is
-- followed by \255, so no name begins another one.
-- LK: for each job with a line a letter and the name: w it waits there, o it is out (it left by a claim, and has neither ended nor
-- waits for a time), n neither. LS: the lines. LW: who waits: name, place (8 bytes), handle. LO: every line in which jobs wait, once:
-- by its turn, or by what it waits for.
local Lines = part(function()
  local OPEN, ASLEEP, HELD, STILL, EMPTY = 1, 2, 3, 4, 5
  local STATE, STATE_SIZE = '>I2I2I2I4I4BBdd', 32

  local lines, touched, rules = {}, {}, {}
  local joining, letters_of = {}, {}
  -- What a script finds under `\0\0` in LO stands behind this many bytes: by when it wakes, by its kind, by its kind, by when it is forgotten.
  local function entry_of(line)
    if line.where == OPEN then return struct.pack('>I2I8', line.kind, line.at) .. line.name end
    local first = string.char(0, 0, line.where - ASLEEP)
    if line.where == ASLEEP or line.where == EMPTY then return first .. struct.pack('>I8', line.at) .. line.name end
    return first .. struct.pack('>I2', line.kind) .. line.name
  end

  local function name_in(entry)
    local kind, where = struct.unpack('>I2B', entry)
    if kind > 0 then return string.sub(entry, 11) end
    where = where + ASLEEP
    return string.sub(entry, (where == ASLEEP or where == EMPTY) and 12 or 6)
  end

  -- A line: its kind's number, weight, how many it has given in this turn, how many are out and wait, whether the job that it stands
  -- still for waits in it, where it is and since or until when (its turn, or µs), when its bucket is full, and the job that it stands
  -- still for.
  local function line_at(name)
    local line = lines[name]
    if line then return line end
    line = { name = name, kind = 0, weight = 1, given = 0, out = 0, waiting = 0, back = 0, where = 0, at = 0, full = 0, head = '' }
    local text = redis.call('HGET', LS, name)
    if text then
      line.kind, line.weight, line.given, line.out, line.waiting, line.back, line.where, line.at, line.full =
        struct.unpack(STATE, text)
      line.head = string.sub(text, STATE_SIZE + 1)
      if line.where > 0 then line.entry = entry_of(line) end
    end
    lines[name] = line
    return line
  end

  local function touch(line)
    if not line.touched then touched[#touched + 1] = line end
    line.touched = true
  end

  -- What each line of its kind may take.
  local function rule_of(line)
    local kind = string.match(line.name, '^%Z*')
    local rule = rules[kind]
    if not rule then
      local text = redis.call('HGET', Q, 'line:' .. kind) or '- - - 0'
      local concurrency, interval, burst, ordered = string.match(text, '^(%S+) (%S+) (%S+) (%S+)$')
      rule = { concurrency = tonumber(concurrency), interval = tonumber(interval), burst = tonumber(burst), ordered = ordered == '1' }
      rules[kind] = rule
    end
    return rule
  end

  -- How many jobs a line may give, and what it waits for if that is none.
  local function may_leave(line, now)
    local rule, count = rule_of(line), line.waiting
    if rule.ordered then
      if line.back == 0 and (line.head ~= '' or line.out > 0) then return 0, line.out > 0 and HELD or STILL end
      count = math.min(count, 1)
    end
    if rule.concurrency then
      count = math.min(count, rule.concurrency - line.out)
      if count <= 0 then return 0, HELD end
    end
    if rule.burst then
      count = math.min(count, tokens(line.full, rule.interval, rule.burst, now))
      if count <= 0 then return 0, ASLEEP, next_token(line.full, rule.interval, rule.burst) end
    end
    return count, OPEN
  end

  local function next_turn() return tonumber(redis.call('HINCRBY', Q, 'turn', 1)) end

  -- Puts a line where it belongs; true if it has a turn and had none.
  local function put(line, now)
    local where, at, opened = 0, 0, false
    if line.waiting > 0 then
      local _
      _, where, at = may_leave(line, now)
    elseif line.full > now then
      where, at = EMPTY, line.full
    end
    if where == OPEN and line.where == OPEN then
      at = line.at
    else
      line.given = 0
      if where == OPEN then at, opened = next_turn(), true end
    end
    line.where, line.at = where, math.min(at or 0, 2 ^ 53)
    local entry = where > 0 and entry_of(line) or nil
    if entry ~= line.entry then
      if line.entry then redis.call('ZREM', LO, line.entry) end
      if entry then redis.call('ZADD', LO, 0, entry) end
      line.entry = entry
    end
    return opened
  end

  -- Writes what has changed; true if there is a line with a turn that had none.
  local function keep()
    many('HSET', LK, letters_of)
    many('ZADD', LW, joining)
    letters_of, joining = {}, {}
    if #touched == 0 then return false end
    local now, news, states, gone = now_us(), false, {}, {}
    for _, line in ipairs(touched) do
      news = put(line, now) or news
      line.touched = false
      -- Of a line that has nothing, and will have nothing, to remember.
      if line.where == 0 and line.out == 0 and line.weight == 1 and line.head == '' then
        gone[#gone + 1] = line.name
      else
        states[#states + 1] = line.name
        states[#states + 1] = struct.pack(STATE, line.kind, line.weight, line.given, line.out, line.waiting, line.back, line.where,
          line.at, line.full) .. line.head
      end
    end
    touched = {}
    many('HSET', LS, states)
    many('HDEL', LS, gone)
    return news
  end

  local function letter_of(id)
    local text = redis.call('HGET', LK, id)
    if text then return string.sub(text, 1, 1), string.sub(text, 2) end
  end

  local function set_letter(id, letter, name)
    with_lines = true
    letters_of[#letters_of + 1] = id
    letters_of[#letters_of + 1] = letter .. name
  end

  -- A job begins to wait in its line; `order` is its score in a lane if it had no line.
  local function join(name, handle, order)
    local line, id = line_at(name), id_of(handle)
    line.kind, line.waiting = kind_of(handle), line.waiting + 1
    -- Nobody goes before the job for which the line stands still.
    local place = order
    if line.head == id then line.back, place = 1, 0 end
    joining[#joining + 1] = 0
    joining[#joining + 1] = name .. struct.pack('>I8', place) .. handle
    set_letter(id, 'w', name)
    touch(line)
  end

  -- A job becomes ready; answers its score in its lane.
  local function enter(handle, order)
    local letter, name = letter_of(id_of(handle))
    if not name then return order end
    if letter == 'o' then line_at(name).out = line_at(name).out - 1 end
    join(name, handle, order)
    return LINE + order
  end

  -- A job that waits in its line, or was out of it, waits for its time instead.
  local function step_out(id)
    local letter, name = letter_of(id)
    if letter ~= 'o' then return end
    local line = line_at(name)
    line.out = line.out - 1
    set_letter(id, 'n', name)
    touch(line)
  end

  -- A job with this score in its lane leaves its line other than by a claim.
  local function leave(handle, score)
    local letter, name = letter_of(id_of(handle))
    if letter ~= 'w' then return end
    local line = line_at(name)
    local place = line.head == id_of(handle) and 0 or tonumber(score) - LINE
    redis.call('ZREM', LW, name .. struct.pack('>I8', place) .. handle)
    redis.call('HSET', LK, id_of(handle), 'n' .. name)
    line.waiting = line.waiting - 1
    if line.head == id_of(handle) then line.back = 0 end
    touch(line)
  end

  -- Jobs that do not wait in their lines have ended, or are dead and may come back.
  local function ended(ids, dead)
    local gone = {}
    for i, text in ipairs(read_many(LK, ids)) do
      if text then
        local letter, name = string.sub(text, 1, 1), string.sub(text, 2)
        local line = line_at(name)
        if letter == 'o' then line.out = line.out - 1 end
        if line.head == ids[i] then line.head, line.back = '', 0 end
        touch(line)
        if dead then set_letter(ids[i], 'n', name) else gone[#gone + 1] = ids[i] end
      end
    end
    many('HDEL', LK, gone)
  end

  -- Forgets lines of which only a bucket was left that is full again.
  local function forget(limit)
    local due = redis.call('ZRANGEBYLEX', LO, '[\0\0\3', '(\0\0\3' .. struct.pack('>I8', now_us()), 'LIMIT', 0, limit)
    for _, entry in ipairs(due) do touch(line_at(name_in(entry))) end
  end

  return { at = line_at, touch = touch, rule_of = rule_of, may_leave = may_leave, next_turn = next_turn, name_in = name_in, keep = keep,
    letter_of = letter_of, set_letter = set_letter, join = join, enter = enter, step_out = step_out, leave = leave, ended = ended, forget = forget }
end)

-- Writes what has changed of lines; true if there is one with a turn that had none. Every script that moves jobs ends with it.
local function keep_lines()
  local keep = rawget(Lines, 'keep')
  return keep ~= nil and keep()
end

-- Makes a job ready, in its line if it has one.
local function make_ready(lane, handle, order)
  redis.call('ZADD', lane, whole(with_lines and Lines.enter(handle, order) or order), handle)
end

-- Jobs that do not wait in their lines have ended, or are dead and may come back.
local function end_in_lines(ids, dead)
  if #ids > 0 and with_lines then Lines.ended(ids, dead) end
end
