local bad = wrong_head() or wrong_settle_keys(settle_parts(1), HEAD + 1)
if bad then return bad end
return settle(1, HEAD + 1)
