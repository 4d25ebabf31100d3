-- A limit is in a hash tag of its own. `q`: what code has declared and what an operator has set, each as concurrency, µs for a token,
-- burst, count and ms (a dash for none); until when it is closed (ms), when its bucket is full (µs), and how many jobs are counted.
-- `run`: for each holder, which is a lease and the number of its shard, how many of them, then how many permits it got if it asked for
-- them before it claimed; `x`: when holders end, in ms.
local Limits = part(function()
  local function held_by(run, holder)
    local count, permits = string.match(redis.call('HGET', run, holder) or '0', '^(%d+) ?(%d*)')
    return tonumber(count), tonumber(permits)
  end

  -- What a limit is and has, without those who have ended.
  local function home_at(q, x, run)
    local found = redis.call('HMGET', q, 'set', 'declared', 'closed', 'full', 'used', 'adapted', 'lowered')
    local concurrency, interval, burst, least = string.match(found[1] or found[2] or '- - - - -', '^(%S+) (%S+) (%S+) %S+ %S+ ?(%S*)')
    local home = { q = q, x = x, run = run, most = tonumber(concurrency), least = tonumber(least), interval = tonumber(interval),
      burst = tonumber(burst), lowered = tonumber(found[7] or 0),
      closed = tonumber(found[3] or 0), full = tonumber(found[4] or 0), used = tonumber(found[5] or 0), now = now_us(), took = 0 }
    home.concurrency = home.most
    if home.least and home.most then
      home.concurrency = math.min(home.most, math.max(home.least, tonumber(found[6] or home.most)))
    else
      home.least = nil
    end
    local over = redis.call('ZRANGEBYSCORE', x, '-inf', whole(home.now / 1000), 'LIMIT', 0, 100)
    for _, holder in ipairs(over) do home.used = home.used - held_by(run, holder) end
    if #over > 0 then
      redis.call('ZREM', x, unpack(over))
      redis.call('HDEL', run, unpack(over))
      redis.call('HSET', q, 'used', home.used)
    end
    return home
  end

  -- How many more jobs it lets be claimed, at most `most`, and in how many ms it makes sense to ask again if that is none.
  local function budget_of(home, most)
    local now = math.floor(home.now / 1000)
    if home.closed > now then return 0, home.closed - now end
    if home.concurrency and home.used >= home.concurrency then return 0, 50 end
    local left = math.min(most, home.concurrency and home.concurrency - home.used or most)
    if not home.burst then return left, 0 end
    left = math.min(left, tokens(home.full, home.interval, home.burst, home.now))
    if left > 0 then return left, 0 end
    return 0, math.max(1, math.ceil((next_token(home.full, home.interval, home.burst) - home.now) / 1000))
  end

  -- Adds to the fields `changed` that tokens are taken, or given back if `count` is negative.
  local function with_tokens(home, count, changed)
    if not home.burst or count == 0 then return end
    home.full = count > 0 and spent(home.full, home.interval, count, home.now) or home.full + count * home.interval
    changed[#changed + 1] = 'full'
    changed[#changed + 1] = string.format('%.0f', home.full)
  end

  local function write(home, changed)
    if #changed > 0 then redis.call('HSET', home.q, unpack(changed)) end
  end

  local function take_tokens(home, count)
    local changed = {}
    with_tokens(home, count, changed)
    write(home, changed)
  end

  -- Counts this many jobs for a holder of which nothing is known yet, and which ends at `ends`; their sum is still to be written.
  local function take(home, holder, count, ends, permits)
    home.used = home.used + count
    redis.call('HSET', home.run, holder, permits and count .. ' ' .. permits or count)
    redis.call('ZADD', home.x, ends, holder)
  end

  -- The same for one that may have some already.
  local function hold(home, holder, count, ends, permits)
    home.used = home.used - held_by(home.run, holder)
    take(home, holder, count, ends, permits)
    write(home, { 'used', home.used })
  end

  -- Takes tokens for this many jobs, and writes the sum.
  local function settle(home, count)
    if count == 0 then return end
    local changed = home.concurrency and { 'used', home.used } or {}
    with_tokens(home, count, changed)
    write(home, changed)
  end

  -- Of the jobs of a holder no more than `count` are left.
  local function lower(q, x, run, holder, count)
    local held, permits = held_by(run, holder)
    if held <= count then return end
    redis.call('HINCRBY', q, 'used', count - held)
    if count > 0 then return redis.call('HSET', run, holder, permits and count .. ' ' .. permits or count) end
    redis.call('HDEL', run, holder)
    redis.call('ZREM', x, holder)
  end

  return { held_by = held_by, home_at = home_at, budget_of = budget_of, take_tokens = take_tokens, hold = hold, take = take,
    settle = settle, lower = lower }
end)
