-- $1 environment  $2 text in lower case  $3 types to read  $4 most rows
--
-- Return types whose name contains the text, those that begin with it first. Pairs are compared, as in
-- list.sql.
WITH looked AS MATERIALIZED (
  SELECT name FROM dispatcher.event_types
  WHERE (environment_id, name COLLATE "C") > ($1, '') AND (environment_id, name COLLATE "C") < ($1, '~')
  ORDER BY environment_id, name COLLATE "C" LIMIT $3
)
SELECT name FROM looked WHERE strpos(lower(name), $2) > 0
ORDER BY lower(name) <> $2, NOT starts_with(lower(name), $2), name COLLATE "C" LIMIT $4
