-- $1 most milliseconds of each further statement of this transaction
SELECT set_config('statement_timeout', $1::integer::text, true)
