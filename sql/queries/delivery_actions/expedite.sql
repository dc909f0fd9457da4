-- $1 deliveries
--
-- Make those that are pending due now, and unpark them, so that they are read at once. In an ordered
-- endpoint queue they stay parked, because their turn comes by order. The attempt number, which is the
-- fence, stays the same. So an attempt in progress is not made again.
WITH due AS (
  UPDATE dispatcher.deliveries d
  SET next_at = least(d.next_at, clock_timestamp()),
      parked = d.parked AND EXISTS (SELECT 1 FROM dispatcher.endpoints e WHERE e.id = d.endpoint_id AND e.ordered)
  WHERE d.id = ANY ($1::bigint[])
  RETURNING d.id, d.endpoint_id, d.shard
)
INSERT INTO dispatcher.change_notices (delivery_id, endpoint_id, shard)
SELECT id, endpoint_id, shard FROM due RETURNING delivery_id
