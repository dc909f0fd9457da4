-- $1 environment  $2 events  $3 delivery ids below this one  $4 delivery ids from this one on  $5 ids to
-- return  $6 attempts with ids above this one  $7 attempts with ids up to this one, or NULL
--
-- Return the deliveries of some events, newest first: see history/of_event.sql. OFFSET 0 makes each
-- event a lookup by index.
WITH entries AS MATERIALIZED (
  SELECT d.environment_id, d.id FROM unnest($2::bigint[]) AS e(id)
  CROSS JOIN LATERAL (SELECT environment_id, id FROM dispatcher.deliveries WHERE event_id = e.id OFFSET 0) AS d
  UNION ALL
  SELECT i.environment_id, i.delivery_id FROM unnest($2) AS e(id)
  CROSS JOIN LATERAL (
    SELECT environment_id, delivery_id FROM dispatcher.inbox_directed WHERE event_id = e.id AND delivery_id IS NOT NULL OFFSET 0) AS i
  UNION ALL
  SELECT q.environment_id, q.id FROM unnest($2) AS e(id)   -- by the event alone: else an index of another use could look cheaper
  CROSS JOIN LATERAL (SELECT environment_id, id, delivery_id FROM dispatcher.quarantine WHERE event_id = e.id OFFSET 0) AS q
  WHERE q.delivery_id = q.id
  UNION ALL
  SELECT a.environment_id, a.delivery_id FROM unnest($2) AS e(id)
  CROSS JOIN LATERAL (
    SELECT environment_id, delivery_id FROM dispatcher.attempts
    WHERE event_id = e.id AND state IS NOT NULL AND id > e.id - (86400000::bigint << 22) AND id > $6 AND ($7::bigint IS NULL OR id <= $7) OFFSET 0) AS a
)
SELECT DISTINCT id FROM entries WHERE environment_id = $1 AND id < $3 AND id >= $4 ORDER BY id DESC LIMIT $5
