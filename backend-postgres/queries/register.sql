select queue_id, lane, kind, priority, stage from {schema}.register($1, $2, $3)
