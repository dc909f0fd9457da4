-- $1 text  $2 environments to read  $3 most rows
--
-- Return environments whose id or name contains the text, those that begin with it first.
WITH looked AS MATERIALIZED (
  SELECT id, name, paused_at, created_at, position FROM dispatcher.environments ORDER BY position DESC LIMIT $2
)
SELECT id, name, paused_at, (SELECT s.paused_at FROM dispatcher.settings s) AS all_paused_at, created_at, position FROM looked
WHERE strpos(lower(name), lower($1)) > 0 OR strpos(lower(id), lower($1)) > 0
ORDER BY lower(id) <> lower($1) AND lower(name) <> lower($1), NOT (starts_with(lower(name), lower($1)) OR starts_with(lower(id), lower($1))), position DESC LIMIT $3
