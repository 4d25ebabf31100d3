select {schema}.note_operation($1, $2, $3)
