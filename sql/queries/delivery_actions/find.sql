-- $1 deliveries  $2 environment  $3 attempts with ids above this one  $4 attempts with ids up to this
-- one, or NULL
--
-- Return those of them that the environment has, as far as these attempts show. A delivery is pending; or
-- in the inbox, queued to become pending again; or ended, with only its history left. `status` is NULL if
-- only attempts that were recorded late are seen here. They count as attempts too. One in
-- quarantine is not returned, as its release would send it once more. For OFFSET 0, and ids of attempts a
-- day below the delivery, see history/items.sql.
SELECT w.id, CASE WHEN p.id IS NOT NULL THEN 'PENDING' WHEN i.id IS NOT NULL THEN 'QUEUED' ELSE 'ENDED' END AS state,
       CASE WHEN coalesce(p.id, i.id) IS NULL THEN a.state ELSE 'PENDING' END AS status,
       coalesce(p.event_id, i.event_id, a.event_id) AS event_id, coalesce(p.endpoint_id, i.endpoint_id, a.endpoint_id) AS endpoint_id,
       coalesce(p.type, i.type, a.type) AS type, coalesce(p.attempt, i.attempt, a.highest) AS attempt,
       e.active, e.deleted_at IS NOT NULL AS deleted,
       (SELECT s.shard FROM (SELECT shard FROM dispatcher.change_notices WHERE delivery_id = w.id OFFSET 0) AS n
        JOIN dispatcher.shards s USING (shard) WHERE s.owner IS NOT NULL LIMIT 1) IS NOT NULL AS has_unapplied_notices
FROM unnest($1::bigint[]) AS w(id)
LEFT JOIN LATERAL (SELECT * FROM dispatcher.deliveries WHERE id = w.id OFFSET 0) AS p ON true
LEFT JOIN LATERAL (SELECT * FROM dispatcher.inbox_directed WHERE delivery_id = w.id LIMIT 1) AS i ON true
LEFT JOIN LATERAL (
  SELECT last.*, max(last.attempt) OVER () AS highest FROM (
    SELECT event_id, endpoint_id, environment_id, type, attempt, state, id FROM dispatcher.attempts
    WHERE delivery_id = w.id AND id > w.id - (86400000::bigint << 22) AND id > $3 AND ($4::bigint IS NULL OR id <= $4) OFFSET 0) AS last
  ORDER BY last.state IS NULL, last.id DESC LIMIT 1) AS a ON true
CROSS JOIN LATERAL (
  SELECT active, deleted_at FROM dispatcher.endpoints WHERE id = coalesce(p.endpoint_id, i.endpoint_id, a.endpoint_id) OFFSET 0) AS e
WHERE coalesce(p.environment_id, i.environment_id, a.environment_id) = $2
  AND (SELECT q.id FROM dispatcher.quarantine q WHERE q.id = w.id AND q.delivery_id = w.id) IS NULL
