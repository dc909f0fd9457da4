-- $1 bulk action  $2 position  $3 deliveries that were changed  $4 those that were not, by reason, JSON
-- $5 seconds until the next step  $6 true: it is done  $7 its environment
--
-- The environment is for the planner: with it, each index that has the id leads to the one row.
-- claim.sql has locked the row in this transaction, so it is RUNNING still. A condition on that would let
-- the planner read all running ones.
UPDATE dispatcher.bulk_actions
SET position = $2, made = made + $3::integer, skipped = $4::json, failures = 0, error = NULL,
    next_at = clock_timestamp() + make_interval(secs => $5::float8),
    state = CASE WHEN $6 THEN 'DONE' ELSE state END, finished_at = CASE WHEN $6 THEN clock_timestamp() END
WHERE id = $1 AND environment_id = $7
