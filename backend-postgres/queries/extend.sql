select * from {schema}.extend($1, $2, $3)
