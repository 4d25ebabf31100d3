select {schema}.report_alerts($1, $2, $3)
