-- $1 id
SELECT id, name, paused_at, created_at, position FROM dispatcher.environments WHERE id = $1
