-- $1 environment  $2 ids below  $3 and from  $4 rows to look at, of all environments  $5 type, or NULL
-- $6 what types begin with, or NULL  $7 ids to return. The horizon is as in of_endpoints.sql.
WITH looked AS MATERIALIZED (
  SELECT id, environment_id, type FROM dispatcher.events WHERE id < $2 AND (id >= $3 OR $3 = 0) ORDER BY id DESC LIMIT $4
)
SELECT (SELECT min(id) FROM looked HAVING count(*) >= $4) AS horizon, ARRAY(
  SELECT id FROM looked
  WHERE environment_id = $1 AND ($5::text IS NULL OR type = $5 OR starts_with(type, $6::text))
  ORDER BY id DESC LIMIT $7) AS ids
