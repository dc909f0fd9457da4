-- $1 id  $2 name. No row: there is no such environment.
WITH former AS (
  SELECT id, name FROM dispatcher.environments WHERE id = $1 FOR NO KEY UPDATE
)
UPDATE dispatcher.environments e SET name = $2 FROM former WHERE e.id = former.id
RETURNING e.id, e.name, e.paused_at, (SELECT s.paused_at FROM dispatcher.settings s) AS all_paused_at, e.created_at, e.position, former.name AS former_name
