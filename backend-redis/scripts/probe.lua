-- Tries every command of the scripts on a key that nobody else uses, and leaves nothing. ARGV: the channel, '' if nobody is to be
-- woken. KEYS: that key. Answers what the user may not do, and how the server says so; nothing if all is well.
local key, denied, said = KEYS[HEAD + 1], {}, ''

-- Every version says it in other words.
local function is_denial(text)
  return string.find(text, '^NOPERM') or string.find(text, 'The user executing', 1, true) or string.find(text, 'ACL failure', 1, true)
end

local function try(...)
  local answer = redis.pcall(...)
  local text = type(answer) == 'table' and answer.err
  if text and not is_denial(text) then return text end
  if text then
    denied[#denied + 1] = (...)
    if said == '' then said = text end
  end
end

local tries = {
  -- The first write is one that a full server does not refuse, the second what clears the key.
  { 'HDEL', key, '' }, { 'PEXPIRE', key, -1 },
  { 'HSET', key, 'f', 1 }, { 'HINCRBY', key, 'f', 1 }, { 'HGET', key, 'f' }, { 'HMGET', key, 'f' }, { 'HEXISTS', key, 'f' },
  { 'HLEN', key }, { 'HGETALL', key }, { 'HSCAN', key, 0 }, { 'TYPE', key }, { 'EXISTS', key }, { 'TIME' }, { 'PEXPIRE', key, -1 },
  { 'SET', key, '', 'PX', 1000 }, { 'GET', key }, { 'PEXPIRE', key, -1 },
  { 'SADD', key, 'm' }, { 'SISMEMBER', key, 'm' }, { 'SMEMBERS', key }, { 'PEXPIRE', key, -1 },
  { 'ZADD', key, 1, 'm' }, { 'ZSCORE', key, 'm' }, { 'ZRANK', key, 'm' }, { 'ZCARD', key }, { 'ZCOUNT', key, 0, 1 },
  { 'ZRANGE', key, 0, 0 }, { 'ZRANGEBYSCORE', key, 0, 1 }, { 'ZRANGEBYLEX', key, '-', '+' }, { 'ZREMRANGEBYRANK', key, 0, 0 }, { 'ZREM', key, 'm' },
}
if ARGV[1] ~= '' then tries[#tries + 1] = { 'PUBLISH', ARGV[1], '' } end
for i, words in ipairs(tries) do
  local text = try(unpack(words))
  if text then return redis.error_reply(text) end
  -- Without these two, what follows would be refused or left behind.
  if i == 2 and #denied > 0 then break end
end
return { table.concat(denied, ' '), said }
