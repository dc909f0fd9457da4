-- $1 endpoints  $2 delivery ids below this one  $3 delivery ids from this one on  $4 rows to read,
-- of each endpoint and each kind  $5 status, or NULL  $6 event type, or NULL  $7 prefix of event
-- types, or NULL  $8 ids to return  $9 attempts with ids up to this one, or NULL: see history.py  $10
-- first response status, or NULL  $11 last response status  $12 outcome, or NULL
--
-- Return each id once, newest first. A pending delivery counts before an ended one, and a newer end
-- before an older one. All ids down to `horizon` were read. It is NULL if there are none below it.
--
-- Rows are read in the order of an index. So a long history or a rare match makes no more work than
-- $4 allows. The conditions compare pairs instead of endpoints alone, because only one index has
-- the order of the pairs. So wrong statistics about an endpoint or a new partition cannot lead to
-- another index.
--
-- WITH TIES returns all ends of a delivery that ended several times, or none of them.
WITH pending AS MATERIALIZED (
  SELECT d.* FROM unnest($1::uuid[]) AS e(id) CROSS JOIN LATERAL (
    SELECT endpoint_id, id, type, attempt FROM dispatcher.deliveries
    WHERE (endpoint_id, id + 0) < (e.id, $2) AND (endpoint_id, id + 0) >= (e.id, $3) ORDER BY endpoint_id DESC, id + 0 DESC LIMIT $4
  ) d
  WHERE $5::text IS NULL OR $5 = 'PENDING'
), waiting AS MATERIALIZED (                 -- to be sent again, or not fanned out yet
  SELECT delivery_id AS id, type, attempt FROM dispatcher.inbox_directed
  WHERE delivery_id < $2 AND endpoint_id = ANY ($1::uuid[]) AND ($5::text IS NULL OR $5 = 'PENDING')
  ORDER BY delivery_id DESC LIMIT $4
), quarantined AS MATERIALIZED (             -- with an index of deliveries alone, as its entries of events may be many
  SELECT q.* FROM unnest($1::uuid[]) AS e(id) CROSS JOIN LATERAL (
    SELECT endpoint_id, id, type, attempt FROM dispatcher.quarantine
    WHERE delivery_id = id AND (endpoint_id, id) < (e.id, $2) AND (endpoint_id, id) >= (e.id, $3)
    ORDER BY endpoint_id DESC, id DESC LIMIT $4
  ) q
  WHERE $5::text IS NULL OR $5 = 'PENDING'
), ended AS MATERIALIZED (
  SELECT a.* FROM unnest($1::uuid[]) AS e(id) CROSS JOIN LATERAL (
    SELECT endpoint_id, delivery_id AS id, type, state, status, outcome, id AS attempt_id FROM dispatcher.attempts
    WHERE state IS NOT NULL AND (endpoint_id, delivery_id) < (e.id, $2) AND (endpoint_id, delivery_id) >= (e.id, $3)
      AND (id >= $3 OR $3 = 0) -- no partition older than the deliveries is read
      AND ($9::bigint IS NULL OR id <= $9)
    ORDER BY endpoint_id DESC, delivery_id DESC FETCH FIRST ($4) ROWS WITH TIES
  ) a
  WHERE $5::text IS NULL OR $5 <> 'PENDING'
), horizon AS (                              -- below it, a part that was cut short may have more rows
  SELECT nullif(greatest(max(low), $3), $3) AS id FROM (
    SELECT min(id) AS low FROM pending GROUP BY endpoint_id HAVING count(*) >= $4
    UNION ALL
    SELECT min(id) FROM ended GROUP BY endpoint_id HAVING count(*) >= $4
    UNION ALL
    SELECT min(id) FROM waiting HAVING count(*) >= $4
    UNION ALL
    SELECT min(id) FROM quarantined GROUP BY endpoint_id HAVING count(*) >= $4
  ) AS cut
), newest AS (
  SELECT DISTINCT ON (id) id, type, state, attempt, status, outcome FROM (
    SELECT id, type, 'PENDING' AS state, attempt, NULL::smallint AS status, NULL::text AS outcome, NULL::bigint AS attempt_id FROM pending
    UNION ALL
    SELECT id, type, 'PENDING', attempt, NULL, NULL, NULL FROM waiting
    UNION ALL
    SELECT id, type, 'PENDING', attempt, NULL, NULL, NULL FROM quarantined
    UNION ALL
    SELECT id, type, state, NULL, status, outcome, attempt_id FROM ended
  ) AS entries
  WHERE id >= coalesce((SELECT id FROM horizon), $3)
  ORDER BY id DESC, attempt_id DESC NULLS FIRST
)
SELECT (SELECT id FROM horizon) AS horizon, ARRAY(
  SELECT n.id FROM newest n
  WHERE ($6::text IS NULL OR n.type = $6 OR starts_with(n.type, $7::text)) AND ($5::text IS NULL OR n.state = $5)
    -- an ended delivery may be pending again; each check is a lookup
    AND ($5 IS NULL OR $5 = 'PENDING'
         OR ((SELECT d.id FROM dispatcher.deliveries d WHERE d.id = n.id) IS NULL
             AND (SELECT i.delivery_id FROM dispatcher.inbox_directed i WHERE i.delivery_id = n.id LIMIT 1) IS NULL
             AND (SELECT q.id FROM dispatcher.quarantine q WHERE q.id = n.id AND q.delivery_id = n.id) IS NULL))
    -- the last attempt of a pending delivery is looked up too
    AND (($10::integer IS NULL AND $12::text IS NULL) OR CASE
      WHEN n.state <> 'PENDING' THEN ($10 IS NULL OR n.status BETWEEN $10 AND $11::integer) AND ($12 IS NULL OR n.outcome = $12)
      WHEN n.attempt > 0 THEN (
        SELECT ($10 IS NULL OR l.status BETWEEN $10 AND $11) AND ($12 IS NULL OR l.outcome = $12)
        FROM (SELECT a.id, a.status, a.outcome FROM dispatcher.attempts a WHERE a.delivery_id = n.id AND a.id > n.id - (86400000::bigint << 22)
                AND a.id > $3 AND ($9 IS NULL OR a.id <= $9) OFFSET 0) AS l
        ORDER BY l.id DESC LIMIT 1) END)
  ORDER BY n.id DESC LIMIT $8) AS ids
