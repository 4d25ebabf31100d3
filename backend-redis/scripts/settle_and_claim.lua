local settled, leases, kinds = settle_args(1), tonumber(ARGV[4]), tonumber(ARGV[5])
local claimed = HEAD + leases + kinds
local wanted = #ARGV - settled - 6
local bad = wrong_type(1, HEAD) or wrong_type(HEAD + 1, HEAD + leases, 'hash')
  or wrong_type(HEAD + leases + 1, claimed, 'zset') or wrong_type(claimed + 1, claimed + wanted, 'hash')
  or wrong_type(claimed + wanted + 1, #KEYS, 'zset')
if bad then return bad end
local letters = settle(1, HEAD + 1)
if type(letters) == 'number' then return letters end
return { letters, claim(settled + 1, claimed + 1) }
