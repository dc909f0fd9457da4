-- $1 environment  $2 endpoint  $3 replay
SELECT *, dispatcher.id_time(position) AS reached FROM dispatcher.replays
WHERE id = $3 AND endpoint_id = $2 AND environment_id = $1
