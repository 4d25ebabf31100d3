local it = settle_parts(1)
local claimed = HEAD + it.leases + it.kinds + it.keys + 3 * it.homes
local wanted = #ARGV - it.after - 6
local bad = wrong_head() or wrong_settle_keys(it, HEAD + 1)
  or wrong_type(claimed + 1, claimed + wanted, 'hash') or wrong_type(claimed + wanted + 1, #KEYS, 'zset')
if bad then return bad end
local letters = settle(1, HEAD + 1)
if type(letters) == 'number' then return letters end
return { letters, claim(it.after, claimed + 1) }
