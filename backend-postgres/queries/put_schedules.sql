select {schema}.put_schedules($1, $2, $3, $4)
