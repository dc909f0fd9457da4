-- $1 environment  $2 endpoint  $3 with ids below, or NULL  $4 how many
SELECT *, dispatcher.id_time(position) AS reached FROM dispatcher.recoveries
WHERE endpoint_id = $2 AND environment_id = $1 AND ($3::bigint IS NULL OR id < $3)
ORDER BY id DESC LIMIT $4
