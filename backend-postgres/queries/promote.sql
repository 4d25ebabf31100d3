select * from {schema}.promote($1, $2, $3)
