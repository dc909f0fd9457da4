-- $1 replay  $2 error  $3 most failures in a row  $4 its environment, for the planner: see bulk_actions/advance.sql
--
-- Record a failed step. The next one is due after 1 s, after each further failure twice as late, and at most
-- 64 s later. After $3 failures in a row the state becomes FAILED. No row: the replay is not running any more.
WITH failed AS MATERIALIZED (
  SELECT id, state FROM dispatcher.replays WHERE id = $1 AND environment_id = $4 FOR UPDATE
)
UPDATE dispatcher.replays r
SET failures = r.failures + 1, error = $2, next_at = clock_timestamp() + make_interval(secs => power(2, least(r.failures, 6))),
    state = CASE WHEN r.failures + 1 >= $3 THEN 'FAILED' ELSE 'RUNNING' END,
    finished_at = CASE WHEN r.failures + 1 >= $3 THEN clock_timestamp() END
WHERE r.id = (SELECT id FROM failed WHERE state = 'RUNNING') AND environment_id = $4 -- a join could read all of the index
RETURNING r.state
