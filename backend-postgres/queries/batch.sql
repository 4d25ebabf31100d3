select members, ended, deaths, on_complete, on_death from {schema}.batch where id = $1
