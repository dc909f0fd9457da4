-- $1 delivery ids  $2 owned shards. Park deliveries whose endpoint queue is full or whose endpoint
-- is inactive: this takes them out of the index of due rows. CASE: otherwise the planner may scan
-- that whole index.
UPDATE dispatcher.deliveries SET parked = true
WHERE id = ANY ($1::bigint[]) AND CASE WHEN parked THEN false ELSE shard = ANY ($2::smallint[]) END
