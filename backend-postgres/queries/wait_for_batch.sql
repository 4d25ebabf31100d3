select {schema}.wait_for_batch($1, $2, $3, $4)
