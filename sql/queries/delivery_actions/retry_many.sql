-- $1 deliveries  $2 environment  $3 only those in this status, or NULL  $4 most attempts of one
--
-- Send pending deliveries now and ended ones again, as find.sql, expedite.sql and enqueue.sql do for one.
-- Return how many, and how many were left as they are, by reason. OFFSET 0: see history/items.sql.
WITH found AS MATERIALIZED (
  SELECT w.id, coalesce(p.event_id, i.event_id, a.event_id) AS event_id, coalesce(p.endpoint_id, i.endpoint_id, a.endpoint_id) AS endpoint_id,
         coalesce(p.environment_id, i.environment_id, a.environment_id) AS environment_id, coalesce(p.type, i.type, a.type) AS type,
         coalesce(p.attempt, i.attempt, a.attempt) AS attempt, i.id IS NOT NULL AND p.id IS NULL AS is_queued,
         CASE WHEN coalesce(p.id, i.id) IS NULL THEN a.state ELSE 'PENDING' END AS status
  FROM unnest($1::bigint[]) AS w(id)
  LEFT JOIN LATERAL (SELECT * FROM dispatcher.deliveries WHERE id = w.id OFFSET 0) AS p ON true
  LEFT JOIN LATERAL (SELECT * FROM dispatcher.inbox WHERE delivery_id = w.id LIMIT 1) AS i ON true
  LEFT JOIN LATERAL (
    SELECT last.*, max(last.attempt) OVER () AS highest FROM (   -- attempts recorded late count too
      SELECT event_id, endpoint_id, environment_id, type, attempt, state, id FROM dispatcher.attempts
      WHERE delivery_id = w.id AND id > w.id OFFSET 0) AS last
    ORDER BY last.state IS NULL, last.id DESC LIMIT 1) AS ended ON true
  LEFT JOIN LATERAL (
    SELECT ended.event_id, ended.endpoint_id, ended.environment_id, ended.type, ended.highest AS attempt, ended.state) AS a ON true
), judged AS MATERIALIZED (
  SELECT f.*, CASE
    WHEN f.environment_id IS DISTINCT FROM $2 OR f.status IS NULL OR f.status <> coalesce($3, f.status) THEN 'changed'
    WHEN e.deleted_at IS NOT NULL THEN 'deleted'
    WHEN NOT e.active THEN 'disabled'
    WHEN (SELECT v.id FROM dispatcher.events v WHERE v.id = f.event_id) IS NULL THEN 'dropped'
    WHEN f.attempt >= $4::integer THEN 'attempts'
    -- otherwise two attempts could run at the same time
    WHEN f.status <> 'PENDING' AND (
      SELECT s.shard FROM (SELECT shard FROM dispatcher.change_notices WHERE delivery_id = f.id OFFSET 0) AS n
      JOIN dispatcher.shards s USING (shard) WHERE s.owner IS NOT NULL LIMIT 1) IS NOT NULL THEN 'in_progress'
    END AS reason, e.ordered
  FROM found f LEFT JOIN LATERAL (SELECT deleted_at, active, ordered FROM dispatcher.endpoints WHERE id = f.endpoint_id OFFSET 0) AS e ON true
), due AS (
  UPDATE dispatcher.deliveries d SET next_at = least(d.next_at, clock_timestamp()), parked = d.parked AND j.ordered
  FROM judged j WHERE d.id = j.id AND j.reason IS NULL AND j.status = 'PENDING' AND NOT j.is_queued
  RETURNING d.id, d.endpoint_id, d.shard
), notices AS (
  INSERT INTO dispatcher.change_notices (delivery_id, endpoint_id, shard) SELECT id, endpoint_id, shard FROM due
), queued AS (
  INSERT INTO dispatcher.inbox (id, event_id, environment_id, type, endpoint_id, delivery_id, attempt)
  SELECT dispatcher.next_id(), j.event_id, j.environment_id, j.type, j.endpoint_id, j.id, j.attempt
  FROM judged j WHERE j.reason IS NULL AND j.status <> 'PENDING' ORDER BY j.id
  RETURNING 1
)
SELECT (SELECT count(*) FROM judged WHERE reason IS NULL) AS made,
       coalesce((SELECT json_object_agg(r.reason, r.deliveries)
                 FROM (SELECT reason, count(*) AS deliveries FROM judged WHERE reason IS NOT NULL GROUP BY reason) AS r), '{}') AS skipped,
       (SELECT dispatcher.wake() WHERE EXISTS (SELECT 1 FROM queued))
