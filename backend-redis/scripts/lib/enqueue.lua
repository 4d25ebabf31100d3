-- Stores jobs of one queue. ARGV, after `args` others: receipt ms, channel, queue name, number of kinds, their names, their numbers as
-- the client knows them (0: not at all), number of jobs, then handle and record of each, then for each job with options: its
-- number, when, index of its idempotency key among KEYS (0: none), window ms, unique key, what if one is taken, longest wait, batch,
-- line (see store).
-- KEYS, after `keys` others: receipt, one lane for each kind, idempotency keys. Answers 0 and the answers to the jobs (see
-- store); or 1: the client has the numbers of the kinds still to learn; or 2, number of the job that is refused, which of its keys
-- (1: idempotency, 2: unique), and the job that has it. `refuse` may answer for a call that no earlier one has answered; `apply` makes
-- a write of its own.
local function enqueue_jobs(args, keys, refuse, apply)
  local kinds, at = tonumber(ARGV[args + 4]), args + 5
  local REQUEST, LANES = keys + 1, keys + 1
  local bad = wrong_head() or wrong_type(REQUEST, REQUEST, 'string')
    or wrong_type(LANES + 1, LANES + kinds, 'zset') or wrong_type(LANES + kinds + 1, #KEYS, 'string')
  if bad then return bad end

  local first = at + 2 * kinds + 1
  local jobs = tonumber(ARGV[first - 1])
  local known = redis.call('GET', KEYS[REQUEST])
  if known then
    local before = tonumber(string.match(known, '^%d+'))
    if before ~= jobs then return redis.error_reply('REJECTED a job was enqueued before in a batch of another size') end
    -- A write, so that a client that waits for replicas waits for them this time too.
    redis.call('PEXPIRE', KEYS[REQUEST], ARGV[args + 1])
    return { 0, string.sub(known, #tostring(before) + 2) }
  end
  local refused = refuse and refuse()
  if refused then return refused end

  local numbers, lane_of, differs = {}, {}, false
  local numbered = redis.call('HMGET', KINDS, unpack(ARGV, at, at + kinds - 1))
  for i = 1, kinds do
    numbers[i] = tonumber(numbered[i] or 0)
    if numbers[i] == 0 or numbers[i] ~= tonumber(ARGV[at + kinds + i - 1]) then differs = true end
    lane_of[numbers[i]] = KEYS[LANES + i]
  end
  if differs then return number_kinds(at, at + kinds - 1) or { 1 } end

  local handles, records, options = {}, {}, {}
  for i = 1, jobs do
    handles[i] = ARGV[first + 2 * i - 2]
    records[i] = ARGV[first + 2 * i - 1]
  end
  for option = first + 2 * jobs, #ARGV, 9 do
    options[tonumber(ARGV[option])] = { ARGV[option + 1], KEYS[tonumber(ARGV[option + 2])], unpack(ARGV, option + 3, option + 8) }
  end
  local it = plan(handles, records, options, lane_of)
  if it.refused then return { 2, unpack(it.refused) } end
  local answer = answers(it)
  -- First, for it is refused if there is no memory, and then nothing has been written.
  redis.call('SET', KEYS[REQUEST], jobs .. ' ' .. answer, 'PX', ARGV[args + 1])
  if apply then apply() end
  local news = store(it, lane_of)
  if keep_lines() or news then wake(ARGV[args + 2], ARGV[args + 3]) end
  return { 0, answer }
end
