-- A bucket of tokens is one instant, in µs: when it will be full again. `interval`: µs for one token; `burst`: how many it holds.
local function tokens(full, interval, burst, now)
  return math.max(0, burst - math.ceil(math.max(0, full - now) / interval))
end

-- When there is a token.
local function next_token(full, interval, burst)
  return full - (burst - 1) * interval
end

local function spent(full, interval, count, now)
  return math.max(full, now) + count * interval
end
