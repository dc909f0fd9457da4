-- $1 environment  $2 endpoint, or NULL for all  $3 delivery ids below this one  $4 delivery ids from this
-- one on  $5 failures to read  $6 event type, or NULL  $7 prefix of event types, or NULL
-- $8 attempts with ids up to this one, or NULL: see store/queries/history.py
--
-- Group the newest failed deliveries by what went wrong: the endpoint, and the outcome and response
-- status of the last attempt. Deliveries that were sent again since, or are in quarantine, are left out, as in failed.sql.
-- `looked_to` is the id down to which failures were read, NULL if there are no others. It is returned even if
-- there is no cause: then all other columns are NULL.
WITH failed AS MATERIALIZED (
  SELECT * FROM dispatcher.failures($1, $2, $3, $4, $5::integer, $8::bigint)
), newest AS MATERIALIZED (
  SELECT DISTINCT ON (id) * FROM failed ORDER BY id DESC, attempt_id DESC
), current AS MATERIALIZED (
  SELECT n.* FROM newest n
  WHERE ($6::text IS NULL OR n.type = $6 OR starts_with(n.type, $7::text))
    AND (SELECT d.id FROM dispatcher.deliveries d WHERE d.id = n.id) IS NULL
    AND (SELECT i.delivery_id FROM dispatcher.inbox_directed i WHERE i.delivery_id = n.id LIMIT 1) IS NULL
    AND (SELECT q.id FROM dispatcher.quarantine q WHERE q.id = n.id AND q.delivery_id = n.id) IS NULL
    AND (SELECT l.state FROM (SELECT a.id, a.state FROM dispatcher.attempts a WHERE a.delivery_id = n.id AND a.id > n.attempt_id AND a.state IS NOT NULL
                                AND a.id > $4 AND ($8 IS NULL OR a.id <= $8) OFFSET 0) AS l
         ORDER BY l.id DESC LIMIT 1) IS NULL
), grouped AS (
  SELECT c.endpoint_id, c.outcome, c.status, count(*) AS deliveries, min(c.id) AS first_id, max(c.id) AS last_id,
         (array_agg(c.error ORDER BY c.id DESC))[1] AS error
  FROM current c GROUP BY c.endpoint_id, c.outcome, c.status
  ORDER BY count(*) DESC, max(c.id) DESC LIMIT 100
)
SELECT g.*, looked.to_id AS looked_to
FROM (SELECT CASE WHEN count(*) >= $5 THEN min(id) END AS to_id FROM failed) AS looked LEFT JOIN grouped g ON true
ORDER BY g.deliveries DESC, g.last_id DESC
