select * from {schema}.gauges($1, $2)
