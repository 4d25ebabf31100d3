select {schema}.close_limit($1, $2)
