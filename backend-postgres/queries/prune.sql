select * from {schema}.prune($1, $2)
