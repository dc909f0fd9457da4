-- $1 how many inbox rows  $2 a shard we own  $3 our daemon id  $4 endpoints whose lane is full  $5 read inbox ids above
-- $6 how many of the newest besides
--
-- Inbox rows become deliveries in one statement: never between the tables, never in both.
-- The look at the inbox comes before any lock, so that an empty poll takes no transaction id.
-- Endpoints are found once a type, as arrays, so that no join order the planner may think of,
-- without statistics, multiplies events by all endpoints.
WITH waiting AS MATERIALIZED (
  SELECT 1 FROM dispatcher.inbox WHERE id > $5 ORDER BY id LIMIT 1
), own AS MATERIALIZED (                     -- the shard is still ours when its rows become visible
  SELECT 1 FROM dispatcher.shards
  WHERE shard = $2 AND owner = $3 AND EXISTS (SELECT 1 FROM waiting) FOR SHARE
), single_file AS MATERIALIZED (             -- an ordered endpoint's order is that of the fan-out: one at a time
  SELECT pg_advisory_xact_lock(1684632432, 1) FROM own
  WHERE EXISTS (SELECT 1 FROM dispatcher.endpoints WHERE ordered AND deleted_at IS NULL)
), oldest AS MATERIALIZED (
  SELECT id FROM dispatcher.inbox
  WHERE id > $5 AND EXISTS (SELECT 1 FROM own) AND (SELECT count(*) FROM single_file) >= 0
  ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
), newest AS MATERIALIZED (                  -- so that behind a flood others need not wait for all of it
  SELECT id FROM dispatcher.inbox
  WHERE id > $5 AND $6 > 0 AND EXISTS (SELECT 1 FROM oldest)
    AND CASE WHEN environment_id = ANY (ARRAY(      -- CASE: a condition the planner does not take for a rare one
      SELECT environment_id FROM dispatcher.endpoints WHERE ordered AND deleted_at IS NULL)) THEN false ELSE true END
  ORDER BY id DESC LIMIT $6 FOR UPDATE SKIP LOCKED
), picked AS MATERIALIZED (
  DELETE FROM dispatcher.inbox
  WHERE id = ANY (ARRAY(SELECT id FROM oldest UNION SELECT id FROM newest))   -- an array, for an index scan
  RETURNING *
), types AS MATERIALIZED (
  SELECT environment_id, type, dispatcher.patterns_of(type) AS patterns
  FROM (SELECT DISTINCT environment_id, type FROM picked WHERE endpoint_id IS NULL) AS plain
), wanted AS MATERIALIZED (                  -- an endpoint once, however many of its patterns match
  SELECT t.environment_id, t.type, e.*
  FROM types t CROSS JOIN LATERAL (
    SELECT array_agg(e.id) AS ids, array_agg(CASE WHEN e.ordered THEN e.home_shard ELSE $2 END) AS shards,
           array_agg(e.ordered OR e.id = ANY ($4::uuid[])) AS parked
    FROM dispatcher.endpoints e
    WHERE e.active AND e.deleted_at IS NULL AND e.id = ANY (ARRAY(
      SELECT s.endpoint_id FROM dispatcher.subscriptions s
      WHERE s.environment_id = t.environment_id AND s.pattern = ANY (t.patterns)))
  ) e
), owed AS (
  SELECT p.id, p.event_id, p.environment_id, p.type, e.id AS endpoint_id, p.delivery_id, p.attempt, e.shard, e.parked
  FROM picked p JOIN wanted w USING (environment_id, type)
  CROSS JOIN LATERAL unnest(w.ids, w.shards, w.parked) AS e(id, shard, parked)
  WHERE p.endpoint_id IS NULL AND (p.after_endpoint IS NULL OR e.id > p.after_endpoint)
  UNION ALL
  SELECT p.id, p.event_id, p.environment_id, p.type, p.endpoint_id, p.delivery_id, p.attempt, e.shard, e.parked
  FROM picked p CROSS JOIN LATERAL (
    SELECT CASE WHEN e.ordered THEN e.home_shard ELSE $2 END AS shard, e.ordered OR e.id = ANY ($4::uuid[]) AS parked
    FROM dispatcher.endpoints e
    WHERE e.id = p.endpoint_id AND e.deleted_at IS NULL AND (e.active OR p.delivery_id IS NOT NULL) OFFSET 0
  ) e
), owing AS (
  INSERT INTO dispatcher.deliveries (id, event_id, endpoint_id, environment_id, type, next_at, shard, attempt, base, parked)
  SELECT coalesce(o.delivery_id, dispatcher.next_id()), o.event_id, o.endpoint_id, o.environment_id, o.type,
         clock_timestamp(), o.shard, o.attempt, o.attempt, o.parked
  FROM owed o ORDER BY o.id
  ON CONFLICT (id) DO NOTHING
  RETURNING id, event_id, endpoint_id, shard, attempt, base, extract(epoch FROM next_at)::float8 AS next_at, parked
)
SELECT (SELECT count(*) FROM picked) AS picked, (SELECT max(id) FROM oldest) AS last_picked, owing.*
FROM (SELECT 1) AS one LEFT JOIN owing ON true
