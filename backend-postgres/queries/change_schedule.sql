select {schema}.change_schedule($1, $2, $3, $4, 'epoch'::timestamptz + $5 * interval '1 microsecond')
