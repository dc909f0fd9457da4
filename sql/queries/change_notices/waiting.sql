-- $1 shards we own  $2 nudges with ids above  $3 how many. Each with its delivery as it is now, if it is.
-- CASE: in the order of ids, and not shard by shard.
SELECT n.id AS nudge, n.delivery_id, n.endpoint_id AS nudged_endpoint, n.shard AS nudged_shard,
       d.id, d.event_id, d.endpoint_id, d.shard, d.attempt, d.base, extract(epoch FROM d.next_at)::float8 AS next_at
FROM (SELECT * FROM dispatcher.nudges
      WHERE id > $2 AND CASE WHEN shard = ANY ($1::smallint[]) THEN true ELSE false END ORDER BY id LIMIT $3) n
LEFT JOIN LATERAL (SELECT * FROM dispatcher.deliveries WHERE id = n.delivery_id OFFSET 0) d ON true
ORDER BY n.id
