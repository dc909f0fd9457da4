-- $1 endpoint  $2 shards we own  $3 how many. A read, not a write: a parked row stays parked until recorded.
SELECT d.id, d.event_id, d.endpoint_id, d.shard, d.attempt, d.base, extract(epoch FROM d.next_at)::float8 AS next_at
FROM unnest($2::smallint[]) AS s(shard)
CROSS JOIN LATERAL (
  SELECT * FROM dispatcher.deliveries d
  WHERE d.endpoint_id = $1 AND d.shard = s.shard AND d.parked AND d.next_at <= now()
  ORDER BY d.next_at LIMIT $3) d
ORDER BY d.next_at LIMIT $3
