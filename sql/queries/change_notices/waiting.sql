-- $1 owned shards  $2 only notices with ids above  $3 limit. Return change notices with the current
-- row of the delivery, NULL if it is gone. CASE: otherwise the planner may read shard by shard and
-- then sort by id.
SELECT n.id AS notice_id, n.delivery_id, n.endpoint_id AS notice_endpoint_id, n.shard AS notice_shard,
       d.id, d.event_id, d.endpoint_id, d.shard, d.attempt, d.base, extract(epoch FROM d.next_at)::float8 AS next_at
FROM (SELECT * FROM dispatcher.change_notices
      WHERE id > $2 AND CASE WHEN shard = ANY ($1::smallint[]) THEN true ELSE false END ORDER BY id LIMIT $3) n
LEFT JOIN LATERAL (SELECT * FROM dispatcher.deliveries WHERE id = n.delivery_id OFFSET 0) d ON true
ORDER BY n.id
