-- Gives kinds their numbers. ARGV: names of kinds.
return wrong_type(1, HEAD) or number_kinds(1, #ARGV) or 1
