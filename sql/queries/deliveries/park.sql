-- $1 delivery ids  $2 shards we own. Out of the timer index: their lane is full or their endpoint holds.
-- CASE: with plain conditions, the whole of that index may look cheaper than a look-up for each id.
UPDATE dispatcher.deliveries SET parked = true
WHERE id = ANY ($1::bigint[]) AND CASE WHEN parked THEN false ELSE shard = ANY ($2::smallint[]) END
