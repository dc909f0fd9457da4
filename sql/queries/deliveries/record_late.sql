-- $1 to $15 as in record.sql, $16 event ids, $17 endpoint ids, no state and no delay, $18 the smallest
-- delivery id. Run it after settings/force_custom_plans.sql. Otherwise it locks all partitions.
--
-- It records results whose delivery has changed since it was read: another daemon took it over, or the
-- same result was written before. The attempt was made, so it is written once. A 2xx ends the delivery,
-- even if that has a higher attempt number now. Then the daemon that holds the delivery gets a change notice.
WITH result AS MATERIALIZED (
  SELECT * FROM unnest($1::text::bigint[], $2::text::int[], $3::text::bigint[], $4::text::text[], $5::text::smallint[], $6::text::int[],
                       $7::text[], $8::text[], $9::text::bigint[], string_to_array($10, E'\x1e', 'null'), $11::bytea[],
                       $12::text::int[], $13::text::int[], $14::text::int[], $15::text::int[], $16::bigint[], $17::uuid[])
    AS r(id, attempt, started_us, outcome, status, duration_ms, error, brand, signed_at, response_headers, response_body,
         lookup_ms, connect_ms, tls_ms, first_byte_ms, event_id, endpoint_id)
), fresh AS MATERIALIZED (                   -- a result written before ends nothing: its delivery may have been retried
  SELECT r.*, e.environment_id, v.type
  FROM result r
  CROSS JOIN LATERAL (SELECT environment_id FROM dispatcher.endpoints WHERE id = r.endpoint_id OFFSET 0) e
  CROSS JOIN LATERAL (SELECT type FROM dispatcher.events WHERE id = r.event_id AND id = ANY ($16) OFFSET 0) v
  CROSS JOIN LATERAL (                       -- OFFSET 0: a lookup for each row. Otherwise the planner may hash all of the history
    SELECT EXISTS (SELECT 1 FROM dispatcher.attempts a
                   WHERE a.delivery_id = r.id AND a.attempt = r.attempt AND a.started_at = to_timestamp(r.started_us * 0.000001::float8)
                     -- skips partitions older than the deliveries by a day; the clock may have been set back
                     AND a.id > r.id - (86400000::bigint << 22) AND a.id > $18::bigint - (86400000::bigint << 22)
                   OFFSET 0) AS known) already
  WHERE NOT already.known
), ended AS (
  DELETE FROM dispatcher.deliveries WHERE id = ANY (ARRAY(SELECT id FROM fresh WHERE outcome = 'ok'))
  RETURNING id, endpoint_id, shard
), notices AS (
  INSERT INTO dispatcher.change_notices (delivery_id, endpoint_id, shard) SELECT id, endpoint_id, shard FROM ended
)
INSERT INTO dispatcher.attempts (delivery_id, event_id, endpoint_id, environment_id, type, attempt, started_at, outcome,
                                 status, duration_ms, error, brand, signed_at, response_headers, response_body, state,
                                 lookup_ms, connect_ms, tls_ms, first_byte_ms)
SELECT r.id, r.event_id, r.endpoint_id, r.environment_id, r.type, r.attempt, to_timestamp(r.started_us * 0.000001::float8), r.outcome,
       r.status, r.duration_ms, r.error, r.brand, r.signed_at, r.response_headers, r.response_body,
       CASE WHEN ended.id IS NOT NULL THEN 'DELIVERED' END, r.lookup_ms, r.connect_ms, r.tls_ms, r.first_byte_ms
FROM fresh r LEFT JOIN ended ON ended.id = r.id
RETURNING delivery_id
