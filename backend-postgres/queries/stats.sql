select * from {schema}.stats($1)
