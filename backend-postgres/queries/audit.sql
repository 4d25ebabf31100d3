select {schema}.audit($1)
