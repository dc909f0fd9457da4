-- $1 delivery. Due now, if it is pending. Out of the parked ones, so that it is read at once, but in an ordered
-- lane. The attempt number stays, and with it the fence: an attempt under way is not made again.
WITH due AS (
  UPDATE dispatcher.deliveries d SET next_at = least(d.next_at, clock_timestamp()), parked = d.parked AND e.ordered
  FROM dispatcher.endpoints e WHERE d.id = $1 AND e.id = d.endpoint_id
  RETURNING d.id, d.endpoint_id, d.shard
)
INSERT INTO dispatcher.nudges (delivery_id, endpoint_id, shard)
SELECT id, endpoint_id, shard FROM due RETURNING delivery_id
