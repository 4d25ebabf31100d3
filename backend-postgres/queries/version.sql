select max(version) from {schema}.migration
