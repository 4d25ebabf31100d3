select {schema}.complete_in($1, $2, $3, $4, $5, $6)
