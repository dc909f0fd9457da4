-- $1 ordered endpoint  $2 its home shard, which this daemon owns  $3 limit. Read the first parked
-- rows, due or not, as the first one blocks the rest. CASE: otherwise the planner may scan the
-- whole index of parked rows.
SELECT d.id, d.event_id, d.endpoint_id, d.shard, d.attempt, d.base, extract(epoch FROM d.next_at)::float8 AS next_at
FROM dispatcher.pending_ids(ARRAY[$1::uuid], $3, $3) AS pending(id)
CROSS JOIN LATERAL (
  SELECT * FROM dispatcher.deliveries d WHERE d.id = pending.id AND CASE WHEN d.parked THEN d.shard = $2 ELSE false END OFFSET 0) d
ORDER BY d.id
