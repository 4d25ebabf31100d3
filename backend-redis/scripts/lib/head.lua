local Q, J, KINDS, RUN, X, XI, M, E, V, U, WS, WR, D, O, N, C, B, LK, LS, LW, LO = unpack(KEYS, 1, 21)
local HEAD = 21
local TYPES = { 'hash', 'hash', 'hash', 'hash', 'zset', 'zset', 'hash', 'hash', 'hash', 'hash', 'zset', 'zset', 'zset', 'hash', 'hash', 'zset', 'hash', 'hash', 'hash', 'zset', 'zset' }
-- Of these, the first that a queue may do without, and the first of lines.
local RARE, OF_LINES = 7, 18
-- A call takes its arguments from the stack, which has room for some thousands.
local ROOM = 4000
local SUSPECT, SOLO, FRESH, PRIORITY = 2 ^ 50, 2 ^ 51, 2 ^ 45, 2 ^ 46
-- Jobs that wait in a line stand in their lane too, behind all others: what counts and lists ready jobs sees them, no claim does.
local LINE = SOLO + SUSPECT

-- A part of a script that is made when it is first needed. Most calls need few of them, and to make all takes longer than a claim.
local function part(make)
  return setmetatable({}, {
    __index = function(self, name)
      setmetatable(self, nil)
      for each, value in pairs(make()) do self[each] = value end
      return self[name]
    end,
  })
end

-- Every key that a script touches is looked at before the first write, because a script has no way back.
local function wrong_type(first, last, want)
  for i = first, last do
    local type = redis.call('TYPE', KEYS[i]).ok
    if type ~= 'none' and type ~= (want or TYPES[i]) then
      return redis.error_reply('WRONGTYPE ' .. KEYS[i] .. ' is a ' .. type .. ', not a ' .. (want or TYPES[i]) .. ': see fsck')
    end
  end
end

-- True if there are jobs with lines.
local with_lines = false

-- The same of those that every script gets.
local function wrong_head()
  with_lines = redis.call('EXISTS', LK, LS, LW, LO) > 0
  return wrong_type(1, RARE - 1)
    or redis.call('EXISTS', unpack(KEYS, RARE, OF_LINES - 1)) > 0 and wrong_type(RARE, OF_LINES - 1)
    or with_lines and wrong_type(OF_LINES, HEAD)
end

local function now_us()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local function now_ms()
  return math.floor(now_us() / 1000)
end

local function whole(number)
  return string.format('%d', number)
end

-- What follows is needed to empty a full server, so it must not be refused for want of memory. The server decides that at
-- the first write of a script; this one needs no memory.
local function write_even_if_full()
  redis.call('HDEL', Q, '')
end

-- `command key a b c …` with as many arguments as there are.
local function many(command, key, list)
  for from = 1, #list, ROOM do
    redis.call(command, key, unpack(list, from, math.min(#list, from + ROOM - 1)))
  end
end

local function read_many(key, fields)
  if #fields <= ROOM then
    return #fields == 0 and {} or redis.call('HMGET', key, unpack(fields))
  end
  local all = {}
  for from = 1, #fields, ROOM do
    for _, value in ipairs(redis.call('HMGET', key, unpack(fields, from, math.min(#fields, from + ROOM - 1)))) do
      all[#all + 1] = value
    end
  end
  return all
end

-- A handle is the job's id (16 bytes), the number of its kind (2) and its priority (1).
local HANDLE = 19
local function handle_at(handles, at) return string.sub(handles, (at - 1) * HANDLE + 1, at * HANDLE) end
local function id_of(handle) return string.sub(handle, 1, 16) end
local function kind_of(handle) return string.byte(handle, 17) * 256 + string.byte(handle, 18) end
local function priority_of(handle) return string.byte(handle, 19) end
-- A stored job begins with when it was enqueued (13 digits), the rest of its handle, and its attempts (4 bytes).
local function handle_of(id, job) return id .. string.sub(job, 14, 16) end
local function max_attempts_of(job) return struct.unpack('>I4', job, 17) end
local UNLIMITED = 2 ^ 32 - 1

-- Numbers for so many jobs that become ready, the first of them.
local function draw(count)
  return tonumber(redis.call('HINCRBY', Q, 'seq', count)) - count + 1
end

-- How word for a batch begins in the outbox, of a member and of a job that waits for it; whole jobs begin with another byte.
local BATCH, WAIT = '\2', '\3'
-- When a job is due that waits for a batch: the last day of the year 9999.
local LAST_DAY = 253402214400000

local function meta_of(text)
  local charged, claims, crashes = string.match(text or '0 0 0', '^(%d+) (%d+) (%d+)')
  return tonumber(charged), tonumber(claims), tonumber(crashes)
end

local function meta(charged, claims, crashes)
  return whole(charged) .. ' ' .. whole(claims) .. ' ' .. whole(crashes)
end

-- Only a hint, so a server that refuses it harms nobody.
local function wake(channel, queue)
  redis.pcall('PUBLISH', channel, queue)
end
