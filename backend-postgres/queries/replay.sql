select {schema}.replay_all($1)
