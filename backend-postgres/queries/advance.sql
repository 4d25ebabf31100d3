select {schema}.advance($1)
