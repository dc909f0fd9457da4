-- Statistics: sums by endpoint and by environment, so that nothing ever counts the attempts themselves.
-- Backlog: counts of pending rows that read a bounded number of rows, however many there are.
-- Sending needs none of this.

CREATE TABLE dispatcher.endpoint_statistics (
  endpoint_id uuid NOT NULL,
  bucket timestamptz NOT NULL,             -- the start of a half hour
  attempts integer NOT NULL,
  failed_attempts integer NOT NULL,        -- attempts without a 2xx response
  delivered integer NOT NULL,              -- deliveries that ended so, as is failed
  failed integer NOT NULL,
  duration_ms bigint NOT NULL,             -- of all attempts together
  durations integer[] NOT NULL CHECK (cardinality(durations) = 26),  -- attempts by duration; bounds: core/histogram.py
  PRIMARY KEY (endpoint_id, bucket)
  -- The current bucket is updated all the time: space on its page, and an early vacuum.
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX endpoint_statistics_age ON dispatcher.endpoint_statistics (bucket);  -- for maintenance
COMMENT ON TABLE dispatcher.endpoint_statistics IS
  'Sums of attempts by endpoint and half hour. Daemons add to it; the API and the dashboard read it. Kept for 8 days.';

CREATE TABLE dispatcher.environment_statistics (
  environment_id text NOT NULL,            -- '*': all of them together
  span smallint NOT NULL CHECK (span IN (10, 600)),  -- seconds in a bucket
  bucket timestamptz NOT NULL,             -- its start
  attempts integer NOT NULL,
  failed_attempts integer NOT NULL,
  delivered integer NOT NULL,
  failed integer NOT NULL,
  duration_ms bigint NOT NULL,
  durations integer[] NOT NULL CHECK (cardinality(durations) = 26),
  PRIMARY KEY (environment_id, span, bucket)
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX environment_statistics_age ON dispatcher.environment_statistics (span, bucket);
COMMENT ON TABLE dispatcher.environment_statistics IS
  'The same sums by environment: in buckets of 10 seconds, kept for 3 hours, and of 10 minutes, kept for 8 days.';

CREATE TABLE dispatcher.backlog_samples (
  environment_id text NOT NULL,            -- '*': all of them together
  bucket timestamptz NOT NULL,             -- a minute
  due bigint NOT NULL,                     -- pending deliveries by state: see pending_by_state
  scheduled bigint NOT NULL,
  held bigint NOT NULL,
  lag_seconds real NOT NULL,               -- for how long the oldest due one was due
  PRIMARY KEY (environment_id, bucket)
);
CREATE INDEX backlog_samples_age ON dispatcher.backlog_samples (bucket);
COMMENT ON TABLE dispatcher.backlog_samples IS
  'How much was pending, once a minute, of each environment with anything pending. A daemon adds to it; the dashboard'
  ' reads it. Kept for 25 hours.';

-- Every element is written out. So the planner can put the expression into the statement that calls it.
CREATE FUNCTION dispatcher.add_durations(a integer[], b integer[]) RETURNS integer[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ARRAY[a[1] + b[1], a[2] + b[2], a[3] + b[3], a[4] + b[4], a[5] + b[5], a[6] + b[6], a[7] + b[7],
             a[8] + b[8], a[9] + b[9], a[10] + b[10], a[11] + b[11], a[12] + b[12], a[13] + b[13], a[14] + b[14],
             a[15] + b[15], a[16] + b[16], a[17] + b[17], a[18] + b[18], a[19] + b[19], a[20] + b[20], a[21] + b[21],
             a[22] + b[22], a[23] + b[23], a[24] + b[24], a[25] + b[25], a[26] + b[26]];
COMMENT ON FUNCTION dispatcher.add_durations(integer[], integer[]) IS 'Add two arrays of durations.';

CREATE FUNCTION dispatcher.count_pending(endpoints uuid[], most integer) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT count(*) FROM dispatcher.pending_ids(endpoints, most, most)
$$;
COMMENT ON FUNCTION dispatcher.count_pending(uuid[], integer) IS 'Count the pending deliveries of some endpoints, up to a limit.';

CREATE FUNCTION dispatcher.count_quarantined(environment text, most integer) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_incremental_sort = off AS $$
  -- A range of one environment: only one index has this order. The primary key would have that of the id alone.
  SELECT count(*) FROM (SELECT 1 FROM dispatcher.quarantine q WHERE q.environment_id >= environment AND q.environment_id <= environment
                        ORDER BY q.environment_id, q.id LIMIT most) AS few
$$;
COMMENT ON FUNCTION dispatcher.count_quarantined(text, integer) IS 'Count the events in quarantine of an environment, up to a limit.';

-- The states: held (the endpoint is disabled or rests, or sending is paused), due (now, and those in
-- flight), scheduled (for later). The first delivery of an ordered endpoint blocks the others: if it is
-- scheduled, they are. ORDER BY with sorts disabled makes the planner read an index, whatever
-- its statistics say. It would otherwise read the whole table, which may hold millions of rows.
CREATE FUNCTION dispatcher.pending_by_state(most integer)
RETURNS TABLE (environment_id text, state text, deliveries bigint, oldest timestamptz, more boolean)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET enable_bitmapscan = off SET enable_sort = off SET enable_incremental_sort = off AS $$
WITH RECURSIVE sending AS MATERIALIZED (
  SELECT paused_at IS NULL AS allowed FROM dispatcher.settings
), held AS MATERIALIZED (
  SELECT e.id, e.environment_id FROM (
    SELECT id FROM dispatcher.endpoints WHERE NOT active AND deleted_at IS NULL
    UNION
    SELECT e.id FROM dispatcher.environments p JOIN dispatcher.endpoints e ON e.environment_id = p.id WHERE p.paused_at IS NOT NULL
    UNION
    SELECT endpoint_id FROM dispatcher.endpoint_health WHERE resting_until > now()
  ) AS h JOIN dispatcher.endpoints e USING (id)
  WHERE (SELECT allowed FROM sending)
), held_rows AS MATERIALIZED (
  (SELECT h.environment_id FROM held h CROSS JOIN LATERAL (
     SELECT 1 FROM dispatcher.deliveries d WHERE d.endpoint_id = h.id ORDER BY d.id + 0 LIMIT most) AS rows
   LIMIT most)
  UNION ALL
  (SELECT d.environment_id FROM (
     SELECT id, environment_id FROM dispatcher.deliveries WHERE NOT (SELECT allowed FROM sending) ORDER BY id LIMIT most) AS d)
), shards AS MATERIALIZED (
  SELECT s::smallint AS shard FROM generate_series(0, 63) AS s WHERE (SELECT allowed FROM sending)
), due_rows AS MATERIALIZED (
  SELECT d.* FROM shards s CROSS JOIN LATERAL (
    SELECT d.endpoint_id, d.environment_id, d.next_at FROM dispatcher.deliveries d
    WHERE d.shard = s.shard AND NOT d.parked AND d.next_at <= now() ORDER BY d.next_at LIMIT most) AS d
  LIMIT most
), first_rows AS MATERIALIZED (              -- the oldest of each shard, if due_rows does not contain them
  SELECT d.* FROM shards s CROSS JOIN LATERAL (
    SELECT d.endpoint_id, d.environment_id, d.next_at FROM dispatcher.deliveries d
    WHERE d.shard = s.shard AND NOT d.parked AND d.next_at <= now() ORDER BY d.next_at LIMIT 20) AS d
), later_rows AS MATERIALIZED (
  SELECT d.* FROM shards s CROSS JOIN LATERAL (
    SELECT d.endpoint_id, d.environment_id, d.next_at FROM dispatcher.deliveries d
    WHERE d.shard = s.shard AND NOT d.parked AND d.next_at > now() ORDER BY d.next_at LIMIT most) AS d
  LIMIT most
), hop AS (                                  -- from one endpoint with parked deliveries to the next
  (SELECT d.endpoint_id, 1 AS number FROM dispatcher.deliveries d
   WHERE d.parked AND (SELECT allowed FROM sending) ORDER BY d.endpoint_id, d.shard, d.next_at LIMIT 1)
  UNION ALL
  SELECT (SELECT d.endpoint_id FROM dispatcher.deliveries d
          WHERE d.parked AND d.endpoint_id > hop.endpoint_id ORDER BY d.endpoint_id, d.shard, d.next_at LIMIT 1), hop.number + 1
  FROM hop WHERE hop.endpoint_id IS NOT NULL AND hop.number < 2000
), first_parked_rows AS MATERIALIZED (       -- the oldest of each endpoint
  SELECT hop.endpoint_id, d.environment_id, d.next_at, e.ordered AND d.next_at > now() AS blocks FROM hop CROSS JOIN LATERAL (
    SELECT d.environment_id, d.next_at FROM dispatcher.deliveries d
    WHERE d.endpoint_id = hop.endpoint_id ORDER BY d.id + 0 LIMIT 1) AS d
  CROSS JOIN LATERAL (SELECT ordered FROM dispatcher.endpoints WHERE id = hop.endpoint_id OFFSET 0) AS e
), parked_rows AS MATERIALIZED (             -- their endpoints are ordered, or have more due deliveries than memory has room for
  SELECT d.environment_id, CASE WHEN f.blocks OR d.next_at > now() THEN 'scheduled' ELSE 'due' END AS state, d.next_at
  FROM first_parked_rows f CROSS JOIN LATERAL (
    SELECT d.environment_id, d.next_at FROM dispatcher.deliveries d
    WHERE d.parked AND d.endpoint_id = f.endpoint_id ORDER BY d.shard, d.next_at LIMIT most) AS d
  WHERE NOT EXISTS (SELECT 1 FROM held h WHERE h.id = f.endpoint_id)
  LIMIT most
), counted AS (
  SELECT h.environment_id, 'held' AS state, 1 AS deliveries, NULL::timestamptz AS due FROM held_rows h
  UNION ALL
  SELECT d.environment_id, 'due', 1, d.next_at FROM due_rows d WHERE NOT EXISTS (SELECT 1 FROM held h WHERE h.id = d.endpoint_id)
  UNION ALL
  SELECT d.environment_id, 'due', 0, d.next_at FROM first_rows d WHERE NOT EXISTS (SELECT 1 FROM held h WHERE h.id = d.endpoint_id)
  UNION ALL
  SELECT d.environment_id, 'due', 0, d.next_at FROM first_parked_rows d WHERE d.next_at <= now() AND NOT EXISTS (SELECT 1 FROM held h WHERE h.id = d.endpoint_id)
  UNION ALL
  SELECT p.environment_id, p.state, 1, p.next_at FROM parked_rows p
  UNION ALL
  SELECT l.environment_id, 'scheduled', 1, NULL FROM later_rows l WHERE NOT EXISTS (SELECT 1 FROM held h WHERE h.id = l.endpoint_id)
), full_up AS MATERIALIZED (
  SELECT 'held' AS state FROM held_rows HAVING count(*) >= most
  UNION SELECT 'due' FROM due_rows HAVING count(*) >= most
  UNION SELECT 'due' FROM parked_rows HAVING count(*) >= most
  UNION SELECT 'due' FROM hop WHERE hop.number >= 2000
  UNION SELECT 'scheduled' FROM later_rows HAVING count(*) >= most
)
SELECT c.environment_id, c.state, sum(c.deliveries)::bigint, min(c.due) FILTER (WHERE c.state = 'due'),
       c.state IN (SELECT f.state FROM full_up f)
FROM counted c GROUP BY c.environment_id, c.state
$$;
COMMENT ON FUNCTION dispatcher.pending_by_state(integer) IS
  'Count pending deliveries by environment and state. It reads at most so many rows of each kind; "more" is true if there'
  ' are more. "oldest": since when the oldest has been due.';

CREATE FUNCTION dispatcher.pending_of_environment(environment text, most integer)
RETURNS TABLE (state text, deliveries bigint, oldest timestamptz, more boolean)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET enable_bitmapscan = off SET enable_sort = off SET enable_incremental_sort = off AS $$
WITH sending AS MATERIALIZED (
  SELECT s.paused_at IS NULL AND v.paused_at IS NULL AS allowed
  FROM dispatcher.settings s CROSS JOIN dispatcher.environments v WHERE v.id = environment
), endpoints AS MATERIALIZED (
  SELECT e.id, NOT e.active OR NOT (SELECT allowed FROM sending) OR EXISTS (
           SELECT 1 FROM dispatcher.endpoint_health h WHERE h.endpoint_id = e.id AND h.resting_until > now()) AS held,
         CASE WHEN e.ordered THEN (
           SELECT d.next_at FROM dispatcher.deliveries d WHERE d.endpoint_id = e.id ORDER BY d.id + 0 LIMIT 1) > now() END AS blocked
  FROM dispatcher.endpoints e WHERE e.environment_id = environment AND e.deleted_at IS NULL
), looked AS MATERIALIZED (
  SELECT CASE WHEN e.held THEN 'held' WHEN e.blocked OR d.next_at > now() THEN 'scheduled' ELSE 'due' END AS state, d.next_at
  FROM endpoints e CROSS JOIN LATERAL (
    SELECT d.next_at FROM dispatcher.deliveries d WHERE d.endpoint_id = e.id ORDER BY d.id + 0 LIMIT most) AS d
  LIMIT 3 * most
)
SELECT l.state, least(count(*), most), min(l.next_at) FILTER (WHERE l.state = 'due'),
       count(*) >= most OR (SELECT count(*) FROM looked) >= 3 * most
FROM looked l GROUP BY l.state
$$;
COMMENT ON FUNCTION dispatcher.pending_of_environment(text, integer) IS
  'Count the pending deliveries of one environment by state, with the columns of pending_by_state.';
