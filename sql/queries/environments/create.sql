-- $1 id  $2 name
--
-- No row: the id is taken.
INSERT INTO dispatcher.environments (id, name) VALUES ($1, $2)
ON CONFLICT (id) DO NOTHING
RETURNING id, name, paused_at, (SELECT s.paused_at FROM dispatcher.settings s) AS all_paused_at, created_at, position
