-- $1 to $17 are arrays with one element an attempt: delivery, attempt number, start (epoch µs),
-- outcome, status, duration in ms, error, brand, signed time (epoch seconds), response
-- headers, response body, ms of lookup, connect, TLS and first byte, state (NULL: retry), delay in
-- seconds. A shorter array is filled with NULL. Most come as text, which costs the driver half as
-- much: as array literals, or as JSON texts joined by a separator that JSON cannot contain.
--
-- One statement deletes an ended delivery, or sets the time of the next attempt, and writes the
-- attempt, so that a crash cannot separate them. The attempt number is the fence: a delivery that
-- is not returned was superseded (or was recorded before, and the answer was lost).
WITH result AS MATERIALIZED (
  SELECT * FROM unnest($1::text::bigint[], $2::text::int[], $3::text::bigint[], $4::text::text[], $5::text::smallint[], $6::text::int[],
                       $7::text[], $8::text[], $9::text::bigint[], string_to_array($10, E'\x1e', 'null'), $11::bytea[],
                       $12::text::int[], $13::text::int[], $14::text::int[], $15::text::int[], $16::text::text[], $17::text::float8[])
    AS r(id, attempt, started_us, outcome, status, duration_ms, error, brand, signed_at, response_headers, response_body,
         lookup_ms, connect_ms, tls_ms, first_byte_ms, state, delay)
), ended AS (
  DELETE FROM dispatcher.deliveries d USING result r
  WHERE d.id = ANY (ARRAY(SELECT id FROM result WHERE state IS NOT NULL))  -- an array: by the primary key
    AND d.id = r.id AND d.attempt = r.attempt - 1 AND r.state IS NOT NULL
  RETURNING d.id, d.event_id, d.endpoint_id, d.environment_id, d.type, d.shard, NULL::timestamptz AS next_at
), retried AS (
  UPDATE dispatcher.deliveries d
  SET attempt = r.attempt, next_at = clock_timestamp() + make_interval(secs => r.delay),
      parked = d.parked AND EXISTS (SELECT 1 FROM dispatcher.endpoints e WHERE e.id = d.endpoint_id AND e.ordered)
  FROM result r
  WHERE d.id = ANY (ARRAY(SELECT id FROM result WHERE state IS NULL))
    AND d.id = r.id AND d.attempt = r.attempt - 1 AND r.state IS NULL
  RETURNING d.id, d.event_id, d.endpoint_id, d.environment_id, d.type, d.shard, d.next_at
), applied AS (
  SELECT * FROM ended UNION ALL SELECT * FROM retried
), written AS (
  INSERT INTO dispatcher.attempts (delivery_id, event_id, endpoint_id, environment_id, type, attempt, started_at, outcome,
                                   status, duration_ms, error, brand, signed_at, response_headers, response_body, next_at, state,
                                   lookup_ms, connect_ms, tls_ms, first_byte_ms)
  SELECT a.id, a.event_id, a.endpoint_id, a.environment_id, a.type, r.attempt, to_timestamp(r.started_us * 0.000001::float8), r.outcome,
         r.status, r.duration_ms, r.error, r.brand, r.signed_at, r.response_headers, r.response_body, a.next_at, r.state,
         r.lookup_ms, r.connect_ms, r.tls_ms, r.first_byte_ms
  FROM applied a JOIN result r USING (id)
)
SELECT id, extract(epoch FROM next_at)::float8 AS next_at FROM applied
