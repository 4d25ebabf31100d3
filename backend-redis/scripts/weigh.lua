-- ARGV: the name of a line, its weight.
local bad = wrong_head()
if bad then return bad end
local line = Lines.at(ARGV[1])
line.weight = tonumber(ARGV[2])
Lines.touch(line)
keep_lines()
return 1
