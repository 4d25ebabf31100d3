-- ARGV: names of the limits whose homes are among the keys, then see claim. KEYS after those of the claim: three for each home.
local leases, kinds = #ARGV - 8, tonumber(ARGV[7])
local first = HEAD + leases + kinds + 1
local bad = wrong_head() or wrong_type(HEAD + 1, HEAD + leases, 'hash') or wrong_type(HEAD + leases + 1, first - 1, 'zset')
  or ARGV[1] ~= '' and Slots.wrong_keys(first, (#KEYS - first + 1) / 3)
if bad then return bad end
if ARGV[1] ~= '' then Slots.know(ARGV[1], first) end
return claim(2, HEAD + 1)
