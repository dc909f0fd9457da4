-- Delete old entries. $1 entries with ids below this one  $2 most rows
DELETE FROM dispatcher.audit
WHERE id = ANY (ARRAY(SELECT id FROM dispatcher.audit WHERE id < $1 ORDER BY id LIMIT $2))
RETURNING 1
