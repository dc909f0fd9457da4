-- $1 how many endpoints  $2 a shard we own  $3 our daemon id  $4 endpoints whose queue is full
-- $5 read inbox ids above  $6 excluded environments  $7 up to this id
--
-- For an event with more endpoints than one statement may take: make deliveries for the next $1 of
-- them, in endpoint order. The inbox row stores the last endpoint, and is deleted when none is
-- left. With excluded environments, at most 50000 rows are read, see fan_out.sql.
WITH own AS MATERIALIZED (
  SELECT 1 FROM dispatcher.shards WHERE shard = $2 AND owner = $3 FOR SHARE
), in_order AS MATERIALIZED (                -- see fan_out.sql
  SELECT ARRAY(
    SELECT DISTINCT environment_id FROM dispatcher.endpoints WHERE ordered AND deleted_at IS NULL) AS environments
  FROM own
), order_lock AS MATERIALIZED (
  SELECT 1 FROM dispatcher.ordered_fan_out_lock
  WHERE (SELECT cardinality(environments) > 0 FROM in_order) AND '' <> ALL ($6::text[]) FOR UPDATE SKIP LOCKED
), picked AS MATERIALIZED (
  SELECT *, dispatcher.patterns_of(type) AS patterns FROM ONLY dispatcher.inbox
  WHERE id > $5 AND EXISTS (SELECT 1 FROM own) AND id <= CASE WHEN cardinality($6::text[]) > 0 THEN (
      SELECT max(id) FROM (SELECT id FROM ONLY dispatcher.inbox WHERE id > $5 AND id <= $7 ORDER BY id LIMIT 50000) AS next) ELSE $7 END
    AND CASE WHEN environment_id IN (SELECT unnest($6::text[])) THEN false
             WHEN EXISTS (SELECT 1 FROM order_lock) THEN true
             WHEN environment_id IN (SELECT unnest(environments) FROM in_order) THEN false
             ELSE true END
  ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
), slice AS MATERIALIZED (
  SELECT DISTINCT s.endpoint_id
  FROM picked p CROSS JOIN LATERAL unnest(p.patterns) AS of_it(pattern) CROSS JOIN LATERAL (
    SELECT endpoint_id FROM dispatcher.subscriptions
    WHERE environment_id = p.environment_id AND pattern = of_it.pattern OFFSET 0) s
  WHERE p.after_endpoint IS NULL OR s.endpoint_id > p.after_endpoint
  ORDER BY s.endpoint_id LIMIT $1
), on_the_way AS (
  UPDATE ONLY dispatcher.inbox SET after_endpoint = (SELECT endpoint_id FROM slice ORDER BY endpoint_id DESC LIMIT 1)
  WHERE id = (SELECT id FROM picked) AND (SELECT count(*) FROM slice) = $1
), done AS (
  DELETE FROM ONLY dispatcher.inbox WHERE id = (SELECT id FROM picked) AND (SELECT count(*) FROM slice) < $1
  RETURNING id
), inserted AS (
  INSERT INTO dispatcher.deliveries (id, event_id, endpoint_id, environment_id, type, next_at, shard, parked)
  SELECT dispatcher.next_id(), p.event_id, e.id, p.environment_id, p.type, clock_timestamp(),
         CASE WHEN e.ordered OR e.id = ANY ($4::uuid[]) THEN e.home_shard ELSE $2 END, e.ordered OR e.id = ANY ($4::uuid[])
  FROM picked p CROSS JOIN slice s CROSS JOIN LATERAL (   -- OFFSET 0: an index lookup for each endpoint, even with wrong statistics
    SELECT id, ordered, home_shard FROM dispatcher.endpoints
    WHERE id = s.endpoint_id AND active AND deleted_at IS NULL OFFSET 0
  ) e
  RETURNING id, event_id, endpoint_id, shard, attempt, base, extract(epoch FROM next_at)::float8 AS next_at, parked
)
SELECT (SELECT count(*) FROM done) AS picked, (SELECT max(id) FROM done) AS last_picked,
       (SELECT count(*) FROM picked) AS seen, (SELECT count(*) FROM picked) AS chosen, NULL::bigint AS last_waiting, NULL::bigint AS newest,
       EXISTS (SELECT 1 FROM in_order WHERE cardinality(environments) > 0) AND NOT EXISTS (SELECT 1 FROM order_lock) AND '' <> ALL ($6::text[]) AS is_unordered, ARRAY(SELECT environment_id FROM picked) AS crowding,
       NULL::bigint[] AS small_ids, NULL::text[] AS small_types, NULL::text[] AS small_environments, NULL::bytea[] AS small_data,
       NOT EXISTS (SELECT 1 FROM own) AS is_lost, false AS is_unusual,
       NULL::bigint AS id, NULL::bigint AS event_id, NULL::uuid AS endpoint_id, NULL::smallint AS shard,
       NULL::integer AS attempt, NULL::integer AS base, NULL::float8 AS next_at, NULL::boolean AS parked
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, * FROM inserted
