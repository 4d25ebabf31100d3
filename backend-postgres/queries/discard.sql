select {schema}.discard_all($1)
