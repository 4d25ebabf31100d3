select {schema}.open_lines((select id from {schema}.queue where name = $1))
