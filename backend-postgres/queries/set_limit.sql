select {schema}.set_rule($1, $2::text::jsonb)
