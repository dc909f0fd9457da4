-- $1 environment  $2 ids below this one  $3 ids from this one on  $4 rows to read, of all
-- environments  $5 type, or NULL  $6 prefix of types, or NULL  $7 ids to return
--
-- `horizon` is the one of of_endpoints.sql.
WITH looked AS MATERIALIZED (
  SELECT id, environment_id, type FROM dispatcher.events WHERE id < $2 AND (id >= $3 OR $3 = 0) ORDER BY id DESC LIMIT $4
)
SELECT (SELECT min(id) FROM looked HAVING count(*) >= $4) AS horizon, ARRAY(
  SELECT id FROM looked
  WHERE environment_id = $1 AND ($5::text IS NULL OR type = $5 OR starts_with(type, $6::text))
  ORDER BY id DESC LIMIT $7) AS ids
