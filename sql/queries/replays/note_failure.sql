-- $1 error  $2 most failures in a row
--
-- Record a failed step. The replay that has been due longest is the one whose step failed. It is
-- retried later and later, after the other replays, and finally its state becomes FAILED.
WITH due AS MATERIALIZED (
  SELECT id FROM dispatcher.replays WHERE state = 'RUNNING' AND next_at <= now()
  ORDER BY next_at LIMIT 1 FOR UPDATE SKIP LOCKED
)
UPDATE dispatcher.replays r
SET failures = r.failures + 1, error = $1, next_at = clock_timestamp() + make_interval(secs => power(2, least(r.failures, 6))),
    state = CASE WHEN r.failures + 1 >= $2 THEN 'FAILED' ELSE 'RUNNING' END,
    finished_at = CASE WHEN r.failures + 1 >= $2 THEN clock_timestamp() END
WHERE r.id = (SELECT id FROM due) -- a join could read all of the index
RETURNING r.id, r.state
