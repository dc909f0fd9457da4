-- $1 environment  $2 endpoint  $3 replay
--
-- A step in progress locks the row. So the returned count includes what it makes.
UPDATE dispatcher.replays SET state = 'CANCELLED', finished_at = clock_timestamp()
WHERE id = $3 AND endpoint_id = $2 AND environment_id = $1 AND state = 'RUNNING'
RETURNING *, dispatcher.id_time(position) AS reached
