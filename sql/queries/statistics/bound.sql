-- $1 how long each further statement of this transaction may take, in milliseconds
SELECT set_config('statement_timeout', $1::integer::text, true)
