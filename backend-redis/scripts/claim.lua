local leases, kinds = #ARGV - 6, tonumber(ARGV[6])
local bad = wrong_type(1, HEAD) or wrong_type(HEAD + 1, HEAD + leases, 'hash')
  or wrong_type(HEAD + leases + 1, HEAD + leases + kinds, 'zset')
if bad then return bad end
return claim(1, HEAD + 1)
