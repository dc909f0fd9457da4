-- $1 delivery  $2 environment. No row: there is no such delivery in it.
--
-- Where it is: pending; in the inbox, on its way to be so again; or ended, with its history alone left.
-- The event is asked for in its partition, which can not be dropped then until the transaction is over.
WITH places AS (
  SELECT 1 AS place, 'PENDING' AS state, event_id, endpoint_id, environment_id, type, attempt
  FROM dispatcher.deliveries WHERE id = $1
  UNION ALL
  SELECT 2, 'OWED', event_id, endpoint_id, environment_id, type, attempt
  FROM dispatcher.inbox WHERE delivery_id = $1
  UNION ALL
  SELECT 3, 'ENDED', event_id, endpoint_id, environment_id, type, max(attempt)   -- also of one that came too late
  FROM dispatcher.attempts
  WHERE delivery_id = $1 AND id > $1         -- no partition older than the delivery
  GROUP BY event_id, endpoint_id, environment_id, type HAVING count(state) > 0
)
SELECT p.state, p.event_id, p.endpoint_id, p.type, p.attempt, e.active, e.deleted_at IS NOT NULL AS deleted,
       EXISTS (SELECT 1 FROM dispatcher.events v WHERE v.id = p.event_id) AS event_kept,
       EXISTS (SELECT 1 FROM (SELECT shard FROM dispatcher.nudges WHERE delivery_id = $1 OFFSET 0) n
               JOIN dispatcher.shards s USING (shard) WHERE s.owner IS NOT NULL) AS unheeded
FROM places p JOIN dispatcher.endpoints e ON e.id = p.endpoint_id
WHERE p.environment_id = $2
ORDER BY p.place LIMIT 1
