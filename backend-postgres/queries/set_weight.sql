select {schema}.set_weight($1, $2, $3, $4)
