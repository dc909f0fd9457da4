-- $1 how many inbox rows  $2 a shard we own  $3 our daemon id  $4 endpoints whose lane is full  $5 read inbox ids above
--
-- Inbox rows become deliveries in one statement: never between the tables, never in both.
-- The look at the inbox comes before any lock, so that an empty poll takes no transaction id.
WITH waiting AS MATERIALIZED (
  SELECT 1 FROM dispatcher.inbox WHERE id > $5 LIMIT 1
), own AS MATERIALIZED (                     -- the shard is still ours when its rows become visible
  SELECT 1 FROM dispatcher.shards
  WHERE shard = $2 AND owner = $3 AND EXISTS (SELECT 1 FROM waiting) FOR SHARE
), picked AS MATERIALIZED (
  DELETE FROM dispatcher.inbox
  WHERE id = ANY (ARRAY(                     -- an array, so that the LIMIT can run only once
    SELECT id FROM dispatcher.inbox WHERE id > $5 AND EXISTS (SELECT 1 FROM own)
    ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED))
  RETURNING *
), types AS MATERIALIZED (
  SELECT DISTINCT environment_id, type FROM picked WHERE endpoint_id IS NULL
), matched AS (                              -- distinct: several patterns of one endpoint may match
  SELECT DISTINCT t.environment_id, t.type, s.endpoint_id
  FROM types t JOIN dispatcher.subscriptions s
    ON s.environment_id = t.environment_id AND s.pattern = ANY (dispatcher.patterns_of(t.type))
), owed AS (
  SELECT p.id, p.event_id, p.environment_id, p.type, m.endpoint_id, p.delivery_id, p.attempt
  FROM picked p JOIN matched m USING (environment_id, type)
  WHERE p.endpoint_id IS NULL AND (p.after_endpoint IS NULL OR m.endpoint_id > p.after_endpoint)
  UNION ALL
  SELECT id, event_id, environment_id, type, endpoint_id, delivery_id, attempt FROM picked WHERE endpoint_id IS NOT NULL
), owing AS (
  INSERT INTO dispatcher.deliveries (id, event_id, endpoint_id, environment_id, type, next_at, shard, attempt, base, parked)
  SELECT coalesce(o.delivery_id, dispatcher.next_id()), o.event_id, e.id, o.environment_id, o.type, clock_timestamp(),
         CASE WHEN e.ordered THEN e.home_shard ELSE $2 END, o.attempt, o.attempt, e.ordered OR e.id = ANY ($4::uuid[])
  FROM owed o JOIN dispatcher.endpoints e ON e.id = o.endpoint_id AND e.deleted_at IS NULL
  WHERE e.active OR o.delivery_id IS NOT NULL
  ORDER BY o.id
  ON CONFLICT (id) DO NOTHING
  RETURNING id, event_id, endpoint_id, shard, attempt, base, extract(epoch FROM next_at)::float8 AS next_at, parked
)
SELECT (SELECT count(*) FROM picked) AS picked, (SELECT max(id) FROM picked) AS last_picked, owing.*
FROM (SELECT 1) AS one LEFT JOIN owing ON true
