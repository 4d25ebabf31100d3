select {schema}.set_paused($1, $2)
