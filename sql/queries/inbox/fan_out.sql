-- $1 how many inbox rows  $2 a shard we own  $3 our daemon id  $4 endpoints whose queue is full  $5 read inbox ids above
-- $6 excluded environments  $7 most deliveries  $8 up to this id  $9 most bytes of an event to return
-- $10 ids of events to return from  $11 to below. Both are written into the text, not passed. Otherwise
-- each run of the prepared plan would lock the partitions of all days.
--
-- In the usual case fan_out_plain.sql does the same for less.
--
-- One statement turns inbox rows into deliveries, so that no event is lost between the tables or is
-- in both. The inbox is read before any lock is taken. Otherwise an empty poll would use a
-- transaction id. A daemon that is alone deletes plain rows without a lock before, which would cost as
-- much as the deletion. But it skips rows that another session holds, such as one of a frozen daemon.
-- It locks directed rows, because a person may delete the same rows in another order. If another
-- session is faster, less is picked than chosen.
--
-- Endpoints are found once for each type, as arrays. Otherwise, without statistics, the planner may
-- join all events with all endpoints. They are found before rows are picked, so that the picked rows
-- make at most $7 deliveries. If rows were seen but none chosen, the first event alone makes more
-- than $7: use fan_out_slice. is_lost: another daemon owns the shard now, so nothing was read. Parked
-- deliveries go into the endpoint's home shard, where one index range finds them. The first row has the
-- small events of the others. Otherwise a second statement would read each of them a moment later.
--
-- Excluded environments are found by IN, which the planner hashes: ANY would compare each row with each of up to a
-- thousand. With them, at most 50000 rows are read, as of their events there may be millions. Then
-- last_waiting is where reading ended, so that a later statement reads on from there, and newest the highest id.
-- '' among the excluded environments stands for those with ordered endpoints. is_unordered: these were
-- passed over because another daemon holds the lock.
WITH ahead AS MATERIALIZED (                 -- CASE: a condition the planner does not take for a rare one
  SELECT min(CASE WHEN environment_id IN (SELECT unnest($6::text[])) THEN NULL ELSE id END) AS first, max(id) AS last
  FROM (SELECT id, environment_id FROM dispatcher.inbox WHERE id > $5 AND id <= $8
        ORDER BY id LIMIT CASE WHEN cardinality($6::text[]) > 0 THEN 50000 ELSE 1 END) AS next
), waiting AS MATERIALIZED (
  SELECT first, CASE WHEN cardinality($6::text[]) > 0 THEN last ELSE $8 END AS up_to FROM ahead WHERE first IS NOT NULL
), own AS MATERIALIZED (                     -- the shard is still ours when its rows become visible
  SELECT 1 FROM dispatcher.shards
  WHERE shard = $2 AND owner = $3 AND EXISTS (SELECT 1 FROM waiting) FOR SHARE
), in_order AS MATERIALIZED (                -- the fan-out fixes the order of an ordered endpoint, so one daemon at a
  SELECT ARRAY(                              -- time fans out such environments; other daemons skip them and do not wait
    SELECT DISTINCT environment_id FROM dispatcher.endpoints WHERE ordered AND deleted_at IS NULL) AS environments
  FROM own
), order_lock AS MATERIALIZED (
  SELECT 1 FROM dispatcher.ordered_fan_out_lock
  WHERE (SELECT cardinality(environments) > 0 FROM in_order) AND '' <> ALL ($6::text[]) FOR UPDATE SKIP LOCKED
), skipped AS MATERIALIZED (
  SELECT CASE WHEN EXISTS (SELECT 1 FROM order_lock) THEN $6::text[] ELSE $6 || environments END AS environments FROM in_order
), alone AS MATERIALIZED (
  SELECT 1 FROM own WHERE NOT EXISTS (SELECT 1 FROM dispatcher.shards WHERE owner <> $3)
), unheld AS MATERIALIZED (                  -- xmax = 0: no session holds the row, or has tried to take it
  SELECT * FROM dispatcher.inbox
  WHERE id >= (SELECT first FROM waiting) AND id <= (SELECT up_to FROM waiting) AND EXISTS (SELECT 1 FROM alone) AND xmax = 0
    AND CASE WHEN environment_id IN (SELECT unnest(environments) FROM skipped) THEN false ELSE true END
  ORDER BY id LIMIT $1
), lockable AS MATERIALIZED (
  SELECT * FROM dispatcher.inbox
  WHERE id >= (SELECT first FROM waiting) AND EXISTS (SELECT 1 FROM own)
    AND id <= (SELECT CASE WHEN count(*) < $1 THEN (SELECT up_to FROM waiting) ELSE max(id) END FROM unheld)
    AND CASE WHEN EXISTS (SELECT 1 FROM alone) THEN xmax <> 0 OR endpoint_id IS NOT NULL ELSE true END
    AND CASE WHEN environment_id IN (SELECT unnest(environments) FROM skipped) THEN false ELSE true END
  ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
), seen AS MATERIALIZED (
  SELECT * FROM (SELECT * FROM unheld WHERE endpoint_id IS NULL UNION ALL SELECT * FROM lockable) AS found ORDER BY id LIMIT $1
), types AS MATERIALIZED (
  SELECT environment_id, type, dispatcher.patterns_of(type) AS patterns
  FROM (SELECT DISTINCT environment_id, type FROM seen WHERE endpoint_id IS NULL) AS plain
), matching AS MATERIALIZED (                -- each endpoint once, even if several of its patterns match
  SELECT t.environment_id, t.type, e.*
  FROM types t CROSS JOIN LATERAL (
    SELECT array_agg(e.id) AS ids, array_agg(CASE WHEN e.ordered OR e.id = ANY ($4::uuid[]) THEN e.home_shard ELSE $2 END) AS shards,
           array_agg(e.ordered OR e.id = ANY ($4::uuid[])) AS parked
    FROM dispatcher.endpoints e
    WHERE e.active AND e.deleted_at IS NULL AND e.id = ANY (ARRAY(
      SELECT s.endpoint_id FROM unnest(t.patterns) AS p(pattern) CROSS JOIN LATERAL (
        SELECT endpoint_id FROM dispatcher.subscriptions WHERE environment_id = t.environment_id AND pattern = p.pattern OFFSET 0) s))
  ) e
), made AS MATERIALIZED (                     -- looked up by type: a join of the two may compare each row with each type
  SELECT jsonb_object_agg(environment_id || ' ' || type, cardinality(ids)) AS of_types FROM matching
), chosen AS MATERIALIZED (
  SELECT id FROM (
    SELECT s.id, sum(CASE WHEN s.endpoint_id IS NULL THEN coalesce((m.of_types ->> (s.environment_id || ' ' || s.type))::integer, 0) ELSE 1 END)
                   OVER (ORDER BY s.id) AS deliveries
    FROM seen s CROSS JOIN made m) AS running
  WHERE deliveries <= $7
), picked AS MATERIALIZED (
  DELETE FROM dispatcher.inbox
  WHERE id = ANY (ARRAY(SELECT id FROM chosen))  -- an array, so that the planner uses an index scan
  RETURNING *
), planned AS (
  SELECT p.id, p.event_id, p.environment_id, p.type, e.id AS endpoint_id, p.delivery_id, p.attempt, e.shard, e.parked
  FROM picked p JOIN matching w USING (environment_id, type)
  CROSS JOIN LATERAL unnest(w.ids, w.shards, w.parked) AS e(id, shard, parked)
  WHERE p.endpoint_id IS NULL AND (p.after_endpoint IS NULL OR e.id > p.after_endpoint)
  UNION ALL
  SELECT p.id, p.event_id, p.environment_id, p.type, p.endpoint_id, p.delivery_id, p.attempt, e.shard, e.parked
  FROM picked p CROSS JOIN LATERAL (
    SELECT CASE WHEN e.ordered OR e.id = ANY ($4::uuid[]) THEN e.home_shard ELSE $2 END AS shard, e.ordered OR e.id = ANY ($4::uuid[]) AS parked
    FROM dispatcher.endpoints e
    WHERE e.id = p.endpoint_id AND e.deleted_at IS NULL AND (e.active OR p.delivery_id IS NOT NULL) OFFSET 0
  ) e
), inserted AS (
  INSERT INTO dispatcher.deliveries (id, event_id, endpoint_id, environment_id, type, next_at, shard, parked)
  SELECT dispatcher.next_id(), o.event_id, o.endpoint_id, o.environment_id, o.type, clock_timestamp(), o.shard, o.parked
  FROM planned o WHERE o.delivery_id IS NULL ORDER BY o.id
  RETURNING id, event_id, endpoint_id, shard, attempt, base, extract(epoch FROM next_at)::float8 AS next_at, parked
), inserted_again AS (                          -- separate, as the check for conflicts costs a fifth of the work
  INSERT INTO dispatcher.deliveries (id, event_id, endpoint_id, environment_id, type, next_at, shard, attempt, base, parked)
  SELECT o.delivery_id, o.event_id, o.endpoint_id, o.environment_id, o.type, clock_timestamp(), o.shard, o.attempt, o.attempt, o.parked
  FROM planned o WHERE o.delivery_id IS NOT NULL
  ON CONFLICT (id) DO NOTHING
  RETURNING id, event_id, endpoint_id, shard, attempt, base, extract(epoch FROM next_at)::float8 AS next_at, parked
), small AS (                                  -- the data as bytes, so that malformed text cannot break the answer
  SELECT array_agg(p.event_id) AS ids, array_agg(p.type) AS types, array_agg(p.environment_id) AS environments, array_agg(e.data) AS data
  FROM (SELECT DISTINCT event_id, type, environment_id FROM planned WHERE NOT parked) AS p
  CROSS JOIN LATERAL (
    SELECT textsend(data::text) AS data FROM dispatcher.events
    WHERE id = p.event_id AND id >= $10 AND id < $11 AND octet_length(data::text) <= $9 OFFSET 0) AS e
)
SELECT (SELECT count(*) FROM picked) AS picked, (SELECT max(id) FROM picked) AS last_picked,
       (SELECT count(*) FROM seen) AS seen, (SELECT count(*) FROM chosen) AS chosen, (SELECT last FROM ahead WHERE cardinality($6::text[]) > 0) AS last_waiting,
       (SELECT max(id) FROM dispatcher.inbox WHERE id > $5 AND cardinality($6::text[]) > 0) AS newest,
       EXISTS (SELECT 1 FROM in_order WHERE cardinality(environments) > 0) AND NOT EXISTS (SELECT 1 FROM order_lock) AND '' <> ALL ($6::text[]) AS is_unordered,
       CASE WHEN (SELECT count(*) FROM seen) > 1 THEN ARRAY(     -- those with no less than an equal part in it
         SELECT environment_id
         FROM (SELECT environment_id, count(*) AS part, avg(count(*)) OVER () AS equal FROM seen GROUP BY environment_id) AS crowd
         WHERE part >= equal) END AS crowding,
       small.ids AS small_ids, small.types AS small_types, small.environments AS small_environments, small.data AS small_data,
       EXISTS (SELECT 1 FROM waiting) AND NOT EXISTS (SELECT 1 FROM own) AS is_lost, false AS is_unusual,
       NULL::bigint AS id, NULL::bigint AS event_id, NULL::uuid AS endpoint_id, NULL::smallint AS shard,
       NULL::integer AS attempt, NULL::integer AS base, NULL::float8 AS next_at, NULL::boolean AS parked
FROM small
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, * FROM inserted
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, * FROM inserted_again
