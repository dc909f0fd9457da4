-- $1 delivery
--
-- Make a pending delivery due now, and unpark it, so that it is read at once. In an ordered endpoint
-- queue it stays parked, because its turn comes by order. The attempt number, which is the fence, stays
-- the same. So an attempt in progress is not made again.
WITH due AS (
  UPDATE dispatcher.deliveries d SET next_at = least(d.next_at, clock_timestamp()), parked = d.parked AND e.ordered
  FROM dispatcher.endpoints e WHERE d.id = $1 AND e.id = d.endpoint_id
  RETURNING d.id, d.endpoint_id, d.shard
)
INSERT INTO dispatcher.change_notices (delivery_id, endpoint_id, shard)
SELECT id, endpoint_id, shard FROM due RETURNING delivery_id
