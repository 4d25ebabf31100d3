-- The schedules of a queue are in a hash, in its first shard, by name: version, watermark in ms, whether it is paused, how long its
-- definition is, with blanks between, then the definition and its job, which mean nothing to a script.
local function read_schedule(name, text)
  if not text then return nil end
  local version, watermark, paused, length, rest = string.match(text, '^(%d+) (%-?%d+) ([01]) (%d+) (.*)$')
  if not rest then return nil end
  length = tonumber(length)
  return { name = name, version = tonumber(version), watermark = tonumber(watermark), paused = paused == '1',
    definition = string.sub(rest, 1, length), job = string.sub(rest, length + 1) }
end

local function schedule_of(key, name)
  return read_schedule(name, redis.call('HGET', key, name))
end

local function write_schedule(key, it)
  local head = whole(it.version) .. ' ' .. whole(it.watermark) .. ' ' .. (it.paused and '1' or '0')
  redis.call('HSET', key, it.name, head .. ' ' .. #it.definition .. ' ' .. it.definition .. it.job)
end
