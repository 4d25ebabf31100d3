select {schema}.cancel($1)
