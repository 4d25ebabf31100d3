select {schema}.run_now($1)
