-- What sending comes to: sums by endpoint and by environment, so that nobody ever counts attempts to see
-- how things are; and what each daemon says of itself. None of it is needed for sending.

-- `durations` counts attempts by how long they took: its bounds are those of `histogram.py`, and other
-- bounds would be another column. `failures` are attempts that were not answered with 2xx, `delivered`
-- and `exhausted` deliveries that ended so.

CREATE TABLE dispatcher.endpoint_statistics (
  endpoint_id uuid NOT NULL,
  bucket timestamptz NOT NULL,             -- when the half hour began
  attempts integer NOT NULL,
  failures integer NOT NULL,
  delivered integer NOT NULL,
  exhausted integer NOT NULL,
  duration_ms bigint NOT NULL,             -- of all its attempts
  durations integer[] NOT NULL CHECK (cardinality(durations) = 26),
  PRIMARY KEY (endpoint_id, bucket)
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX endpoint_statistics_age ON dispatcher.endpoint_statistics (bucket);

CREATE TABLE dispatcher.environment_statistics (
  environment_id text NOT NULL,            -- '*': all of them
  span smallint NOT NULL CHECK (span IN (10, 600)),  -- seconds in a bucket
  bucket timestamptz NOT NULL,             -- when it began
  attempts integer NOT NULL,
  failures integer NOT NULL,
  delivered integer NOT NULL,
  exhausted integer NOT NULL,
  duration_ms bigint NOT NULL,
  durations integer[] NOT NULL CHECK (cardinality(durations) = 26),
  PRIMARY KEY (environment_id, span, bucket)
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX environment_statistics_age ON dispatcher.environment_statistics (span, bucket);

-- Element by element, written out: as one expression it is part of the statement that uses it.
CREATE FUNCTION dispatcher.both(a integer[], b integer[]) RETURNS integer[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ARRAY[a[1] + b[1], a[2] + b[2], a[3] + b[3], a[4] + b[4], a[5] + b[5], a[6] + b[6], a[7] + b[7],
             a[8] + b[8], a[9] + b[9], a[10] + b[10], a[11] + b[11], a[12] + b[12], a[13] + b[13], a[14] + b[14],
             a[15] + b[15], a[16] + b[16], a[17] + b[17], a[18] + b[18], a[19] + b[19], a[20] + b[20], a[21] + b[21],
             a[22] + b[22], a[23] + b[23], a[24] + b[24], a[25] + b[25], a[26] + b[26]];

-- How many deliveries are pending for some endpoints, and how many events of an environment are in
-- quarantine, counted as far as `most`. Without statistics the planner would look at all rows of an index
-- before it counts the first ones: thence the settings.
CREATE FUNCTION dispatcher.pending_of(endpoints uuid[], most integer) RETURNS bigint
LANGUAGE sql STABLE SET enable_bitmapscan = off SET enable_sort = off SET enable_seqscan = off AS $$
  SELECT count(*) FROM (
    SELECT 1 FROM unnest(endpoints) AS e(id)
    CROSS JOIN LATERAL (SELECT 1 FROM dispatcher.deliveries d WHERE d.endpoint_id = e.id ORDER BY d.id LIMIT most) AS each
    LIMIT most) AS few
$$;
CREATE FUNCTION dispatcher.quarantined_in(environment text, most integer) RETURNS bigint
LANGUAGE sql STABLE SET enable_bitmapscan = off SET enable_sort = off SET enable_seqscan = off AS $$
  SELECT count(*) FROM (SELECT 1 FROM dispatcher.quarantine q WHERE q.environment_id = environment ORDER BY q.id LIMIT most) AS few
$$;

-- Beside the daemons, not in their rows: a heartbeat must wait for nobody.
CREATE TABLE dispatcher.daemon_facts (
  daemon_id bigint PRIMARY KEY,
  facts json NOT NULL,
  facts_at timestamptz NOT NULL
) WITH (fillfactor = 50);

REVOKE ALL ON ALL TABLES IN SCHEMA dispatcher FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA dispatcher FROM PUBLIC;
