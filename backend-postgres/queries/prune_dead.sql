select {schema}.prune_dead($1, $2, $3)
