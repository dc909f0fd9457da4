-- $1 entries with ids below  $2 how many
DELETE FROM dispatcher.audit
WHERE id = ANY (ARRAY(SELECT id FROM dispatcher.audit WHERE id < $1 ORDER BY id LIMIT $2))
RETURNING 1
