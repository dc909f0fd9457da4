-- $1 ordered endpoint  $2 its home shard, which we own  $3 how many. The first ones, due or not: the first blocks the rest.
-- CASE: with plain conditions, the whole index of what is parked may look cheaper than a look-up for each id.
SELECT d.id, d.event_id, d.endpoint_id, d.shard, d.attempt, d.base, extract(epoch FROM d.next_at)::float8 AS next_at
FROM dispatcher.pending_ids(ARRAY[$1::uuid], $3, $3) AS pending(id)
CROSS JOIN LATERAL (
  SELECT * FROM dispatcher.deliveries d WHERE d.id = pending.id AND CASE WHEN d.parked THEN d.shard = $2 ELSE false END OFFSET 0) d
ORDER BY d.id
