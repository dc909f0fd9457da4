-- $1 error  $2 failures in succession at the most
--
-- The step of the recovery that is due longest, which is the one that a step goes on with, failed. It is
-- tried again later and later, behind the others, and at last it is FAILED.
WITH due AS MATERIALIZED (
  SELECT id FROM dispatcher.recoveries WHERE state = 'RUNNING' AND next_at <= now()
  ORDER BY next_at LIMIT 1 FOR UPDATE SKIP LOCKED
)
UPDATE dispatcher.recoveries r
SET failures = r.failures + 1, error = $1, next_at = clock_timestamp() + make_interval(secs => power(2, least(r.failures, 6))),
    state = CASE WHEN r.failures + 1 >= $2 THEN 'FAILED' ELSE 'RUNNING' END,
    finished_at = CASE WHEN r.failures + 1 >= $2 THEN clock_timestamp() END
FROM due WHERE r.id = due.id
RETURNING r.id, r.state
