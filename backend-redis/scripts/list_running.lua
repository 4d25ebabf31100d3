-- A page of running jobs. ARGV: claim number and place after which it starts, limit, '1' for one kind only, its number, then the
-- ids and claim numbers of some leases in order. KEYS: these leases. Answers rows as get does, their score being the claim number,
-- and the claim number and place of the last job looked at.
local bad = wrong_head() or wrong_type(HEAD + 1, #KEYS, 'hash')
if bad then return bad end
local number, place, limit = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local rows = {}
for no = 1, #KEYS - HEAD do
  local claim = tonumber(ARGV[4 + 2 * no + 1])
  local lease = redis.call('HMGET', KEYS[HEAD + no], 'h', 'f')
  for at = 1, #(lease[2] or '') do
    local fate = string.sub(lease[2], at, at)
    if (claim > number or at > place) and (fate == 'h' or fate == 'c') then
      if #rows == limit then return { rows, whole(number), whole(place) } end
      local handle = handle_at(lease[1], at)
      local id = id_of(handle)
      number, place = claim, at
      local job = (ARGV[4] ~= '1' or kind_of(handle) == tonumber(ARGV[5])) and redis.call('HGET', J, id)
      if job then
        rows[#rows + 1] = row_of(id, 'running', whole(claim), job)
      end
    end
  end
  if claim > number then number, place = claim, #(lease[2] or '') end
end
return { rows, whole(number), whole(place) }
