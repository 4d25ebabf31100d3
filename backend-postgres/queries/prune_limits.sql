select {schema}.prune_limits($1, $2)
