-- $1 how many inbox rows  $2 a shard we own  $3 our daemon id  $4 endpoints whose queue is full  $5 read inbox ids above
-- $6 most deliveries  $7 most bytes of an event to return
-- $8 ids of events to return from  $9 to below. See fan_out.sql, also for what is not explained here.
--
-- The fan-out of the usual case, for two thirds of the work: this daemon is alone, no endpoint is ordered,
-- and all rows are plain, held by no session, and make at most $6 deliveries together. In any other
-- case it takes nothing and returns is_unusual: use fan_out.sql. It decides that by the snapshot in which
-- it reads, as fan_out.sql does.
WITH waiting AS MATERIALIZED (
  SELECT 1 FROM dispatcher.inbox WHERE id > $5 LIMIT 1
), own AS MATERIALIZED (
  SELECT 1 FROM dispatcher.shards WHERE shard = $2 AND owner = $3 AND EXISTS (SELECT 1 FROM waiting) FOR SHARE
), seen AS MATERIALIZED (
  SELECT id, environment_id, type, xmax = 0 AND after_endpoint IS NULL AS is_free
  FROM ONLY dispatcher.inbox WHERE id > $5 AND EXISTS (SELECT 1 FROM own) ORDER BY id LIMIT $1
), matching AS MATERIALIZED (
  SELECT t.environment_id, t.type, t.events, e.*
  FROM (SELECT environment_id, type, count(*) AS events FROM seen GROUP BY environment_id, type) AS t CROSS JOIN LATERAL (
    SELECT array_agg(e.id) AS ids, array_agg(CASE WHEN e.id = ANY ($4::uuid[]) THEN e.home_shard ELSE $2 END) AS shards
    FROM dispatcher.endpoints e
    WHERE e.active AND e.deleted_at IS NULL AND e.id = ANY (ARRAY(
      SELECT s.endpoint_id FROM unnest(dispatcher.patterns_of(t.type)) AS p(pattern) CROSS JOIN LATERAL (
        SELECT endpoint_id FROM dispatcher.subscriptions WHERE environment_id = t.environment_id AND pattern = p.pattern OFFSET 0) s))
  ) e
), usual AS MATERIALIZED (
  SELECT count(*) AS seen FROM seen
  HAVING bool_and(is_free) AND (SELECT coalesce(sum(events * cardinality(ids)), 0) <= $6 FROM matching)
     AND NOT EXISTS (SELECT 1 FROM dispatcher.inbox_directed WHERE id > $5)
     AND NOT EXISTS (SELECT 1 FROM dispatcher.endpoints WHERE ordered AND deleted_at IS NULL)
     AND NOT EXISTS (SELECT 1 FROM dispatcher.shards WHERE owner <> $3)
), picked AS MATERIALIZED (
  DELETE FROM ONLY dispatcher.inbox WHERE id = ANY (ARRAY(SELECT id FROM seen WHERE EXISTS (SELECT 1 FROM usual)))
  RETURNING id, environment_id, type
), inserted AS (
  INSERT INTO dispatcher.deliveries (id, event_id, endpoint_id, environment_id, type, next_at, shard, parked)
  SELECT dispatcher.next_id(), p.id, e.id, p.environment_id, p.type, clock_timestamp(), e.shard, e.id = ANY ($4::uuid[])
  FROM (SELECT p.*, w.ids, w.shards FROM picked p JOIN matching w USING (environment_id, type) ORDER BY p.id) AS p
  CROSS JOIN LATERAL unnest(p.ids, p.shards) AS e(id, shard)
  RETURNING id, event_id, endpoint_id, shard, attempt, base, extract(epoch FROM next_at)::float8 AS next_at, parked
), small AS (
  SELECT array_agg(id) AS ids, array_agg(type) AS types, array_agg(environment_id) AS environments, array_agg(textsend(data::text)) AS data
  FROM dispatcher.events
  WHERE id = ANY (ARRAY(SELECT event_id FROM inserted WHERE NOT parked)) AND id >= $8 AND id < $9 AND octet_length(data::text) <= $7
)
SELECT (SELECT count(*) FROM picked) AS picked, (SELECT max(id) FROM picked) AS last_picked,
       coalesce((SELECT seen FROM usual), 0) AS seen, coalesce((SELECT seen FROM usual), 0) AS chosen, NULL::bigint AS last_waiting, NULL::bigint AS newest, false AS is_unordered,
       CASE WHEN (SELECT seen FROM usual) = $1 THEN ARRAY(        -- else no more rows wait, and it is not needed
         SELECT environment_id
         FROM (SELECT environment_id, sum(events) AS part, avg(sum(events)) OVER () AS equal FROM matching GROUP BY environment_id) AS crowd
         WHERE part >= equal) END AS crowding,
       small.ids AS small_ids, small.types AS small_types, small.environments AS small_environments, small.data AS small_data,
       false AS is_lost, EXISTS (SELECT 1 FROM waiting) AND NOT EXISTS (SELECT 1 FROM usual) AS is_unusual,
       NULL::bigint AS id, NULL::bigint AS event_id, NULL::uuid AS endpoint_id, NULL::smallint AS shard,
       NULL::integer AS attempt, NULL::integer AS base, NULL::float8 AS next_at, NULL::boolean AS parked
FROM small
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, * FROM inserted
