select kind, key, waiting, "out", weight from {schema}.lines($1, $2, $3, $4)
