-- $1 shards we own  $2 nudges with ids above  $3 how many. Each with its delivery as it is now, if it is.
SELECT n.id AS nudge, n.delivery_id, n.endpoint_id AS nudged_endpoint, n.shard AS nudged_shard,
       d.id, d.event_id, d.endpoint_id, d.shard, d.attempt, d.base, extract(epoch FROM d.next_at)::float8 AS next_at
FROM (SELECT * FROM dispatcher.nudges
      WHERE shard = ANY ($1::smallint[]) AND id > $2 ORDER BY id LIMIT $3) n
LEFT JOIN dispatcher.deliveries d ON d.id = n.delivery_id
ORDER BY n.id
