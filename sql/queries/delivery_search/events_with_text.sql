-- $1 environment  $2 texts  $3 ids below this one  $4 ids from this one on  $5 events to read, of all
-- environments  $6 bytes of stored data to search  $7 most ids
--
-- Return the newest events whose data contains one of the texts. A sequential search: so both the rows
-- and the bytes are limited. The first event is searched however large it is. `horizon` is the id down to
-- which it searched, NULL if there are no others.
WITH looked AS MATERIALIZED (
  SELECT n.id, n.environment_id, n.data, sum(n.size) OVER (ORDER BY n.id DESC) - n.size AS before
  FROM (SELECT id, environment_id, data, CASE WHEN environment_id = $1 THEN pg_column_size(data) ELSE 0 END AS size
        FROM dispatcher.events WHERE id < $3 AND (id >= $4 OR $4 = 0) ORDER BY id DESC LIMIT $5) AS n
), searched AS MATERIALIZED (
  SELECT id, environment_id, data FROM looked WHERE before <= $6::bigint
), matching AS MATERIALIZED (
  SELECT s.id FROM searched s
  WHERE s.environment_id = $1 AND EXISTS (SELECT 1 FROM unnest($2::text[]) AS t(text) WHERE strpos(s.data::text, t.text) > 0)
  ORDER BY s.id DESC LIMIT $7
)
SELECT CASE WHEN (SELECT count(*) FROM matching) >= $7 THEN (SELECT min(id) FROM matching)
            WHEN (SELECT count(*) FROM searched) >= $5 OR (SELECT count(*) FROM searched) < (SELECT count(*) FROM looked)
              THEN (SELECT min(id) FROM searched) END AS horizon,
       ARRAY(SELECT id FROM matching ORDER BY id DESC) AS ids
