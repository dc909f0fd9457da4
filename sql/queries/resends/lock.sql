-- $1 delivery. People's changes to one delivery happen one after another, until the end of the transaction.
SELECT pg_advisory_xact_lock($1)
