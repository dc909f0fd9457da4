-- $1 delivery  $2 environment. No row: the environment has no such delivery.
--
-- A delivery is pending; or in the inbox, queued to become pending again; or ended, with only its
-- history left. The event is read in its partition. That locks the partition, so that it cannot be
-- dropped until the transaction ends.
WITH places AS (
  SELECT 1 AS place, 'PENDING' AS state, event_id, endpoint_id, environment_id, type, attempt
  FROM dispatcher.deliveries WHERE id = $1
  UNION ALL
  SELECT 2, 'QUEUED', event_id, endpoint_id, environment_id, type, attempt
  FROM dispatcher.inbox WHERE delivery_id = $1
  UNION ALL
  -- attempts recorded late count too
  SELECT 3, 'ENDED', event_id, endpoint_id, environment_id, type, max(attempt)
  FROM dispatcher.attempts
  WHERE delivery_id = $1 AND id > $1 -- no partition older than the delivery is read
  GROUP BY event_id, endpoint_id, environment_id, type HAVING count(state) > 0
)
SELECT p.state, p.event_id, p.endpoint_id, p.type, p.attempt, e.active, e.deleted_at IS NOT NULL AS deleted,
       EXISTS (SELECT 1 FROM dispatcher.events v WHERE v.id = p.event_id) AS event_kept,
       EXISTS (SELECT 1 FROM (SELECT shard FROM dispatcher.change_notices WHERE delivery_id = $1 OFFSET 0) n
               JOIN dispatcher.shards s USING (shard) WHERE s.owner IS NOT NULL) AS has_unapplied_notices
FROM places p JOIN dispatcher.endpoints e ON e.id = p.endpoint_id
WHERE p.environment_id = $2
ORDER BY p.place LIMIT 1
