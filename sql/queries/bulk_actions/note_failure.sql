-- $1 error  $2 most failures in a row
--
-- Record a failed step of the bulk action that has been due longest: see replays/note_failure.sql.
WITH due AS MATERIALIZED (
  SELECT id FROM dispatcher.bulk_actions WHERE state = 'RUNNING' AND next_at <= now()
  ORDER BY next_at LIMIT 1 FOR UPDATE SKIP LOCKED
)
UPDATE dispatcher.bulk_actions b
SET failures = b.failures + 1, error = $1, next_at = clock_timestamp() + make_interval(secs => power(2, least(b.failures, 6))),
    state = CASE WHEN b.failures + 1 >= $2 THEN 'FAILED' ELSE 'RUNNING' END,
    finished_at = CASE WHEN b.failures + 1 >= $2 THEN clock_timestamp() END
WHERE b.id = (SELECT id FROM due) -- a join could read all of the index
RETURNING b.id, b.state
