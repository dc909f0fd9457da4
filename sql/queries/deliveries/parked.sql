-- $1 endpoints, with one element an endpoint: $2 limit  $3 owned shards  $4 limit in all. Read due
-- parked rows of each endpoint in turn, earliest due time first. Rows stay parked until they are
-- recorded, so this writes nothing. Endpoints after limit $4 cost nothing.
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
