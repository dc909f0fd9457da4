-- $1 id
SELECT id, name, paused_at, (SELECT s.paused_at FROM dispatcher.settings s) AS all_paused_at, created_at, position FROM dispatcher.environments WHERE id = $1
