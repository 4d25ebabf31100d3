select {schema}.open_limit($1)
