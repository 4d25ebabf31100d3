select {schema}.set_rule($1, true, $2::text::jsonb)
