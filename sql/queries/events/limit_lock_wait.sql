-- $1 milliseconds, as text. For the rest of the transaction.
SELECT set_config('lock_timeout', $1, true)
