-- $1 endpoints, $2 how many: a value an endpoint  $3 shards we own  $4 how many in all. What has waited longest, endpoint by endpoint.
-- A read, not a write: a parked row stays parked until recorded. Endpoints that $4 does not reach cost nothing.
SELECT d.id, d.event_id, d.endpoint_id, d.shard, d.attempt, d.base, extract(epoch FROM d.next_at)::float8 AS next_at
FROM unnest($1::uuid[], $2::int[]) AS e(id, most)
CROSS JOIN LATERAL (
  SELECT of_shard.*
  FROM unnest($3::smallint[]) AS s(shard)
  CROSS JOIN LATERAL (
    SELECT * FROM dispatcher.deliveries d
    WHERE d.endpoint_id = e.id AND d.shard = s.shard AND d.parked AND d.next_at <= now()
    ORDER BY d.next_at LIMIT e.most) of_shard
  ORDER BY of_shard.next_at LIMIT e.most) d
LIMIT $4
