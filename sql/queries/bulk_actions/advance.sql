-- $1 bulk action  $2 position  $3 deliveries that were changed  $4 those that were not, by reason, JSON
-- $5 seconds until the next step  $6 true: it is done
UPDATE dispatcher.bulk_actions
SET position = $2, made = made + $3::integer, skipped = $4::json, failures = 0, error = NULL,
    next_at = clock_timestamp() + make_interval(secs => $5::float8),
    state = CASE WHEN $6 THEN 'DONE' ELSE state END, finished_at = CASE WHEN $6 THEN clock_timestamp() END
WHERE id = $1 AND state = 'RUNNING'
