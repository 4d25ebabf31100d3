select {schema}.amend($1, $2, $3, $4)
