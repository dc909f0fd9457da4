-- $1 environment  $2 endpoint  $3 recovery
SELECT *, dispatcher.id_time(position) AS reached FROM dispatcher.recoveries
WHERE id = $3 AND endpoint_id = $2 AND environment_id = $1
