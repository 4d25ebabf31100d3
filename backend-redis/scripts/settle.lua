local bad = wrong_type(1, HEAD) or wrong_settle_keys(settle_parts(1), HEAD + 1)
if bad then return bad end
return settle(1, HEAD + 1)
