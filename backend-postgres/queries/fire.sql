select outcome, told from {schema}.fire($20, $21, $22, 'epoch'::timestamptz + $23 * interval '1 microsecond',
  'epoch'::timestamptz + $24 * interval '1 microsecond', $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
