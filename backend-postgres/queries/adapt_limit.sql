select {schema}.adapt_limit($1, $2)
