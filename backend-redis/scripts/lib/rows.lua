-- A job as those who look at it get it: id, state, score in it, job, meta, errors, and its notes where they are asked for.
local function row_of(id, state, score, job, notes)
  return { id, state, score, job, redis.call('HGET', M, id) or '', redis.call('HGET', E, id) or '', notes or '' }
end
