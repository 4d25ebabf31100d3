select * from {schema}.reap($1, $2, $3)
