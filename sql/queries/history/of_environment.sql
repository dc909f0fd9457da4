-- $1 environment  $2 to $12 as in of_endpoints.sql
--
-- This statement is for an environment with too many endpoints to read each. It reads rows of all
-- environments, $4 of each kind. There is no lower bound beside the upper one. With both, and
-- without statistics, the planner would expect few rows and sort them all.
WITH pending AS MATERIALIZED (
  SELECT environment_id, id, type, attempt FROM dispatcher.deliveries
  WHERE id < $2 AND ($5::text IS NULL OR $5 = 'PENDING') ORDER BY id DESC LIMIT $4
), waiting AS MATERIALIZED (
  SELECT environment_id, delivery_id AS id, type, attempt FROM dispatcher.inbox_directed
  WHERE delivery_id < $2 AND ($5::text IS NULL OR $5 = 'PENDING')
  ORDER BY delivery_id DESC LIMIT $4
), quarantined AS MATERIALIZED (             -- of this environment alone
  SELECT environment_id, id, type, attempt FROM dispatcher.quarantine
  WHERE delivery_id = id AND (environment_id, id) < ($1, $2) AND (environment_id, id) >= ($1, $3)
    AND ($5::text IS NULL OR $5 = 'PENDING')
  ORDER BY environment_id DESC, id DESC LIMIT $4
), tried AS MATERIALIZED (
  SELECT environment_id, delivery_id AS id, type, state, status, outcome, id AS attempt_id FROM dispatcher.attempts
  WHERE delivery_id < $2 AND (id >= $3 OR $3 = 0) AND ($9::bigint IS NULL OR id <= $9) AND ($5::text IS NULL OR $5 <> 'PENDING')
  ORDER BY delivery_id DESC FETCH FIRST ($4) ROWS WITH TIES
), horizon AS (
  SELECT nullif(greatest(max(low), $3), $3) AS id FROM (
    SELECT min(id) AS low FROM pending HAVING count(*) >= $4
    UNION ALL
    SELECT min(id) FROM waiting HAVING count(*) >= $4
    UNION ALL
    SELECT min(id) FROM quarantined HAVING count(*) >= $4
    UNION ALL
    SELECT min(id) FROM tried HAVING count(*) >= $4
  ) AS cut
), newest AS (
  SELECT DISTINCT ON (id) id, type, state, attempt, status, outcome FROM (
    SELECT environment_id, id, type, 'PENDING' AS state, attempt, NULL::smallint AS status, NULL::text AS outcome, NULL::bigint AS attempt_id FROM pending
    UNION ALL
    SELECT environment_id, id, type, 'PENDING', attempt, NULL, NULL, NULL FROM waiting
    UNION ALL
    SELECT environment_id, id, type, 'PENDING', attempt, NULL, NULL, NULL FROM quarantined
    UNION ALL
    SELECT environment_id, id, type, state, NULL, status, outcome, attempt_id FROM tried WHERE state IS NOT NULL
  ) AS entries
  WHERE environment_id = $1 AND id >= coalesce((SELECT id FROM horizon), $3)
  ORDER BY id DESC, attempt_id DESC NULLS FIRST
)
SELECT (SELECT id FROM horizon) AS horizon, ARRAY(
  SELECT n.id FROM newest n
  WHERE ($6::text IS NULL OR n.type = $6 OR starts_with(n.type, $7::text)) AND ($5::text IS NULL OR n.state = $5)
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
