-- $1 delivery ids  $2 shards we own. Out of the timer index: their lane is full or their endpoint holds.
UPDATE dispatcher.deliveries SET parked = true
WHERE id = ANY ($1::bigint[]) AND NOT parked AND shard = ANY ($2::smallint[])
