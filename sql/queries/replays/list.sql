-- $1 environment  $2 endpoint  $3 ids below this one, or NULL  $4 most rows
SELECT *, dispatcher.id_time(position) AS reached FROM dispatcher.replays
WHERE endpoint_id = $2 AND environment_id = $1 AND ($3::bigint IS NULL OR id < $3)
ORDER BY id DESC LIMIT $4
