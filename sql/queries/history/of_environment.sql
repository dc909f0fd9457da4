-- $1 environment  $2 to $9 as in of_endpoints.sql
--
-- This statement is for an environment with too many endpoints to read each. It reads rows of all
-- environments, $4 of each kind. There is no lower bound beside the upper one. With both, and
-- without statistics, the planner would expect few rows and sort them all.
WITH pending AS MATERIALIZED (
  SELECT environment_id, id, type FROM dispatcher.deliveries
  WHERE id < $2 AND ($5::text IS NULL OR $5 = 'PENDING') ORDER BY id DESC LIMIT $4
), waiting AS MATERIALIZED (
  SELECT environment_id, delivery_id AS id, type FROM dispatcher.inbox
  WHERE delivery_id < $2 AND ($5::text IS NULL OR $5 = 'PENDING')
  ORDER BY delivery_id DESC LIMIT $4
), tried AS MATERIALIZED (
  SELECT environment_id, delivery_id AS id, type, state, id AS attempt_id FROM dispatcher.attempts
  WHERE delivery_id < $2 AND (id >= $3 OR $3 = 0) AND ($9::bigint IS NULL OR id <= $9) AND ($5::text IS NULL OR $5 <> 'PENDING')
  ORDER BY delivery_id DESC FETCH FIRST ($4) ROWS WITH TIES
), horizon AS (
  SELECT nullif(greatest(max(low), $3), $3) AS id FROM (
    SELECT min(id) AS low FROM pending HAVING count(*) >= $4
    UNION ALL
    SELECT min(id) FROM waiting HAVING count(*) >= $4
    UNION ALL
    SELECT min(id) FROM tried HAVING count(*) >= $4
  ) AS cut
), newest AS (
  SELECT DISTINCT ON (id) id, type, state FROM (
    SELECT environment_id, id, type, 'PENDING' AS state, NULL::bigint AS attempt_id FROM pending
    UNION ALL
    SELECT environment_id, id, type, 'PENDING', NULL FROM waiting
    UNION ALL
    SELECT environment_id, id, type, state, attempt_id FROM tried WHERE state IS NOT NULL
  ) AS entries
  WHERE environment_id = $1 AND id >= coalesce((SELECT id FROM horizon), $3)
  ORDER BY id DESC, attempt_id DESC NULLS FIRST
)
SELECT (SELECT id FROM horizon) AS horizon, ARRAY(
  SELECT n.id FROM newest n
  WHERE ($6::text IS NULL OR n.type = $6 OR starts_with(n.type, $7::text)) AND ($5::text IS NULL OR n.state = $5)
    AND ($5 IS NULL OR $5 = 'PENDING'
         OR ((SELECT d.id FROM dispatcher.deliveries d WHERE d.id = n.id) IS NULL
             AND (SELECT i.delivery_id FROM dispatcher.inbox i WHERE i.delivery_id = n.id LIMIT 1) IS NULL))
  ORDER BY n.id DESC LIMIT $8) AS ids
