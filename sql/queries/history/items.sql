-- $1 environment  $2 delivery ids  $3 attempts with ids above this one  $4 attempts with ids up to
-- this one, or NULL
--
-- Return one row for each delivery: a pending one with its last attempt, or an ended one with its
-- last end. One in quarantine (its entry has its id) is pending: whether it is sent is not decided. OFFSET 0 and the ORDER BY outside of it force a lookup by index. Otherwise the planner
-- might walk through all ids in order. An attempt may have an id up to a day below that of its delivery: the
-- clock was set back in between.
SELECT w.id, coalesce(p.event_id, i.event_id, q.event_id, a.event_id) AS event_id, coalesce(p.endpoint_id, i.endpoint_id, q.endpoint_id, a.endpoint_id) AS endpoint_id,
       coalesce(p.environment_id, i.environment_id, q.environment_id, a.environment_id) AS environment_id, coalesce(p.type, i.type, q.type, a.type) AS type,
       CASE WHEN coalesce(p.id, i.delivery_id, q.id) IS NULL THEN a.state ELSE 'PENDING' END AS status,
       coalesce(p.attempt, i.attempt, q.attempt, a.attempt) AS attempts, p.next_at,
       a.outcome, a.status AS response_status, a.response_body, a.duration_ms,
       CASE WHEN q.id IS NULL THEN a.error ELSE 'in quarantine: ' || q.detail END AS error, dispatcher.id_time(a.id) AS recorded_at
FROM unnest($2::bigint[]) AS w(id)
LEFT JOIN LATERAL (SELECT * FROM dispatcher.deliveries WHERE id = w.id OFFSET 0) p ON true
LEFT JOIN LATERAL (SELECT * FROM dispatcher.inbox_directed WHERE delivery_id = w.id LIMIT 1) i ON true
LEFT JOIN LATERAL (SELECT * FROM dispatcher.quarantine WHERE id = w.id AND delivery_id = w.id OFFSET 0) q ON true
LEFT JOIN LATERAL (
  SELECT * FROM (SELECT * FROM dispatcher.attempts WHERE delivery_id = w.id AND id > w.id - (86400000::bigint << 22) AND id > $3 AND ($4::bigint IS NULL OR id <= $4) OFFSET 0) AS tried
  WHERE state IS NOT NULL OR coalesce(p.id, i.delivery_id, q.id) IS NOT NULL
  ORDER BY id DESC LIMIT 1
) a ON true
WHERE coalesce(p.environment_id, i.environment_id, q.environment_id, a.environment_id) = $1
ORDER BY w.id DESC
