-- $1 bulk action  $2 error  $3 most failures in a row  $4 its environment, for the planner: see bulk_actions/advance.sql
--
-- Record a failed step, and retry the bulk action later: see replays/note_failure.sql.
WITH failed AS MATERIALIZED (
  SELECT id, state FROM dispatcher.bulk_actions WHERE id = $1 AND environment_id = $4 FOR UPDATE
)
UPDATE dispatcher.bulk_actions b
SET failures = b.failures + 1, error = $2, next_at = clock_timestamp() + make_interval(secs => power(2, least(b.failures, 6))),
    state = CASE WHEN b.failures + 1 >= $3 THEN 'FAILED' ELSE 'RUNNING' END,
    finished_at = CASE WHEN b.failures + 1 >= $3 THEN clock_timestamp() END
WHERE b.id = (SELECT id FROM failed WHERE state = 'RUNNING') AND environment_id = $4 -- a join could read all of the index
RETURNING b.state
