-- $1 shards we own  $2 from (epoch seconds), $3 how many: a value a shard  $4 before (epoch seconds)
--
-- One index range a shard, each with its own LIMIT, so that no shard can hide another's rows; in all, what
-- has waited longest first.
SELECT d.id, d.event_id, d.endpoint_id, d.shard, d.attempt, d.base, extract(epoch FROM d.next_at)::float8 AS next_at
FROM unnest($1::smallint[], $2::float8[], $3::int[]) AS s(shard, low, most)
CROSS JOIN LATERAL (
  SELECT * FROM dispatcher.deliveries d
  WHERE d.shard = s.shard AND NOT d.parked AND d.next_at >= to_timestamp(s.low) AND d.next_at < to_timestamp($4)
  ORDER BY d.next_at LIMIT s.most) d
ORDER BY d.next_at
