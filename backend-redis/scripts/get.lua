-- ARGV: job ids. Answers a row for each that is there, with its notes.
local bad = wrong_head()
if bad then return bad end
local rows = {}
for _, id in ipairs(ARGV) do
  local job = redis.call('HGET', J, id)
  if job then
    local handle = handle_of(id, job)
    local state, score = 'ready', '0'
    if redis.call('HEXISTS', RUN, id) == 1 then
      state = 'running'
    else
      for key, word in pairs({ [WS] = 'scheduled', [WR] = 'retrying', [C] = 'completed', [D] = 'dead' }) do
        local found = redis.call('ZSCORE', key, handle)
        if found then state, score = word, found end
      end
    end
    rows[#rows + 1] = row_of(id, state, score, job, redis.call('HGET', N, id))
  end
end
return rows
