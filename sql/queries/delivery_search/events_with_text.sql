-- $1 environment  $2 one or two texts  $3 ids below this one  $4 ids from this one on  $5 events to read, of
-- all environments  $6 bytes of stored data to search  $7 most ids
--
-- Return the newest events whose data contains one of the texts. A sequential search: so both the rows
-- and the bytes are limited. The first event is searched however large it is. `horizon` is the id down to
-- which it searched, NULL if there are no others. Only ids are kept, and not the data: that would be
-- written to disk.
WITH looked AS MATERIALIZED (
  SELECT n.id, CASE WHEN n.before <= $6::bigint THEN   -- NULL: not searched
           n.environment_id = $1
           AND (strpos(n.data::text, ($2::text[])[1]) > 0 OR strpos(n.data::text, ($2::text[])[2]) > 0) IS TRUE END AS is_hit
  FROM (
    SELECT e.id, e.environment_id, e.data, sum(e.size) OVER (ORDER BY e.id DESC ROWS UNBOUNDED PRECEDING) - e.size AS before
    FROM (SELECT id, environment_id, data, CASE WHEN environment_id = $1 THEN pg_column_size(data) ELSE 0 END AS size
          FROM dispatcher.events WHERE id < $3 AND (id >= $4 OR $4 = 0) ORDER BY id DESC LIMIT $5) AS e
  ) AS n
), matching AS MATERIALIZED (
  SELECT id FROM looked WHERE is_hit ORDER BY id DESC LIMIT $7
)
SELECT CASE WHEN (SELECT count(*) FROM matching) >= $7 THEN (SELECT min(id) FROM matching)
            WHEN s.looked >= $5 OR s.searched < s.looked THEN s.lowest END AS horizon,
       ARRAY(SELECT id FROM matching ORDER BY id DESC) AS ids
FROM (SELECT count(*) AS looked, count(is_hit) AS searched, min(id) FILTER (WHERE is_hit IS NOT NULL) AS lowest FROM looked) AS s
