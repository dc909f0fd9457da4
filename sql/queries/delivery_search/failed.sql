-- $1 environment  $2 endpoint of it, or NULL for all  $3 delivery ids below this one  $4 delivery ids
-- from this one on  $5 rows to read  $6 event type, or NULL  $7 prefix of event types, or NULL  $8 ids
-- to return  $9 attempts with ids up to this one, or NULL: see store/queries/history.py  $10 first response status, or
-- NULL  $11 last response status  $12 outcome, or NULL
--
-- Return deliveries whose last end is a failure, newest first. `horizon` is that of
-- history/of_endpoints.sql. Only failures are read, however many deliveries succeeded between them.
WITH failed AS MATERIALIZED (
  SELECT id, type, status, outcome, attempt_id FROM dispatcher.failures($1, $2, $3, $4, $5::integer, $9::bigint)
), horizon AS (
  SELECT nullif(greatest(min(id), $4), $4) AS id FROM failed HAVING count(*) >= $5
), newest AS (
  SELECT DISTINCT ON (id) id, type, status, outcome, attempt_id FROM failed
  WHERE id >= coalesce((SELECT id FROM horizon), $4)
  ORDER BY id DESC, attempt_id DESC
)
SELECT (SELECT id FROM horizon) AS horizon, ARRAY(
  SELECT n.id FROM newest n
  WHERE ($6::text IS NULL OR n.type = $6 OR starts_with(n.type, $7::text))
    AND ($10::integer IS NULL OR n.status BETWEEN $10 AND $11::integer) AND ($12::text IS NULL OR n.outcome = $12)
    -- it may be pending again, or have ended otherwise since; each check is a lookup
    AND (SELECT d.id FROM dispatcher.deliveries d WHERE d.id = n.id) IS NULL
    AND (SELECT i.delivery_id FROM dispatcher.inbox_directed i WHERE i.delivery_id = n.id LIMIT 1) IS NULL
    AND (SELECT q.id FROM dispatcher.quarantine q WHERE q.id = n.id AND q.delivery_id = n.id) IS NULL
    AND (SELECT l.state FROM (SELECT a.id, a.state FROM dispatcher.attempts a WHERE a.delivery_id = n.id AND a.id > n.attempt_id AND a.state IS NOT NULL
                                AND a.id > $4 AND ($9 IS NULL OR a.id <= $9) OFFSET 0) AS l
         ORDER BY l.id DESC LIMIT 1) IS NULL
  ORDER BY n.id DESC LIMIT $8) AS ids
