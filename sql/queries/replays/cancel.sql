-- $1 environment  $2 endpoint  $3 recovery
--
-- A step that is under way locks the row: what it makes is in the count that is returned.
UPDATE dispatcher.recoveries SET state = 'CANCELLED', finished_at = clock_timestamp()
WHERE id = $3 AND endpoint_id = $2 AND environment_id = $1 AND state = 'RUNNING'
RETURNING *, dispatcher.id_time(position) AS reached
