select {schema}.settle((select id from {schema}.queue where name = $1), $2, $3, $4, $5, $6, $7, $8, $9)
