-- $1 environment  $2 ids below this one, or NULL  $3 most rows
SELECT * FROM dispatcher.bulk_actions
WHERE environment_id = $1 AND ($2::bigint IS NULL OR id < $2)
ORDER BY environment_id DESC, id DESC LIMIT $3
