select {schema}.set_kind_paused($1, $2, $3)
