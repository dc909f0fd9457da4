-- $1 with positions below, or NULL  $2 how many
SELECT id, name, paused_at, (SELECT s.paused_at FROM dispatcher.settings s) AS all_paused_at, created_at, position FROM dispatcher.environments
WHERE $1::bigint IS NULL OR position < $1 ORDER BY position DESC LIMIT $2
