select {schema}.declare($1, $2, $3::text[]::jsonb[], $4, $5::text[]::jsonb[], $6::text[]::jsonb[], $7)
