-- $1 owned shards, with one element a shard: $2 due from (epoch seconds)  $3 limit  $4 due before
-- (epoch seconds)
--
-- One index range a shard, each with its own LIMIT. Otherwise one shard could use up the limit of
-- all. The result is ordered by due time.
SELECT d.id, d.event_id, d.endpoint_id, d.shard, d.attempt, d.base, extract(epoch FROM d.next_at)::float8 AS next_at
FROM unnest($1::smallint[], $2::float8[], $3::int[]) AS s(shard, low, most)
CROSS JOIN LATERAL (
  SELECT * FROM dispatcher.deliveries d
  WHERE d.shard = s.shard AND NOT d.parked AND d.next_at >= to_timestamp(s.low) AND d.next_at < to_timestamp($4)
  ORDER BY d.next_at LIMIT s.most) d
ORDER BY d.next_at
