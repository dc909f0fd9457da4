-- $1 daemon id  $2 lock key. The advisory lock is this session's: it goes when the session goes.
WITH locked AS MATERIALIZED (SELECT pg_try_advisory_lock(1684632432, $2) AS held)
INSERT INTO dispatcher.daemons (id, lock_key, renewed_at)
SELECT $1, $2, clock_timestamp() FROM locked WHERE held
RETURNING extract(epoch FROM clock_timestamp())::float8 AS now
