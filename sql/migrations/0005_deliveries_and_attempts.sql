-- Deliveries: only pending ones, a small table that changes all the time. Attempts: all history, a large
-- table to which rows are only added. The last attempt of an ended delivery carries its state, and is all
-- that is left of the delivery.

-- In both tables, columns of a fixed width come first, the wide ones before the narrow ones: no row has padding.

CREATE TABLE dispatcher.deliveries (
  id bigint PRIMARY KEY,
  event_id bigint NOT NULL,
  endpoint_id uuid NOT NULL,
  next_at timestamptz NOT NULL,            -- not sent before this time
  attempt integer NOT NULL DEFAULT 0,      -- recorded attempts; a result with another number is late
  base integer NOT NULL DEFAULT 0,         -- recorded attempts when the current retry schedule began
  shard smallint NOT NULL,                 -- its owner sends it
  parked boolean NOT NULL DEFAULT false,   -- not in deliveries_timer; the owner reads it when its endpoint has room
  environment_id text NOT NULL,
  type text NOT NULL
  -- Space for updates on the same page, and a vacuum early and without pauses: the table changes fast.
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX deliveries_timer ON dispatcher.deliveries (shard, next_at) WHERE NOT parked;
CREATE INDEX deliveries_parked ON dispatcher.deliveries (endpoint_id, shard, next_at) WHERE parked;
-- id + 0: of the sum, the planner can make neither a look-up of an id in this index nor a walk through the
-- primary key for an endpoint. Statistics taken while the table was empty make both look cheap.
CREATE INDEX deliveries_endpoint ON dispatcher.deliveries (endpoint_id, (id + 0));
CREATE INDEX deliveries_event ON dispatcher.deliveries (event_id, endpoint_id);
COMMENT ON TABLE dispatcher.deliveries IS
  'Pending deliveries. The fan-out inserts them. The daemon that owns the shard sends them, and updates (retry) or'
  ' deletes (end) the row in the statement that writes the attempt. People change them only through the API.';

CREATE TABLE dispatcher.attempts (
  id bigint NOT NULL DEFAULT dispatcher.next_id(),
  delivery_id bigint NOT NULL,
  event_id bigint NOT NULL,
  endpoint_id uuid NOT NULL,
  started_at timestamptz NOT NULL,
  signed_at bigint,                        -- the time in the signed headers, in seconds since 1970; NULL: no request was made
  next_at timestamptz,                     -- when the next attempt was due; NULL: this was the last
  attempt integer NOT NULL,                -- 1, 2, …; the last row of a cancelled delivery repeats the last number
  duration_ms integer NOT NULL,
  -- How long each phase took. NULL: it did not happen. On a kept connection only the first byte is waited for,
  -- so such a row has 4 bytes more, and that of a new connection up to 16.
  lookup_ms integer,
  connect_ms integer,
  tls_ms integer,
  first_byte_ms integer,
  status smallint,                         -- of the HTTP response
  environment_id text NOT NULL,
  type text NOT NULL,
  outcome text NOT NULL,                   -- ok http timeout dns connect tls reset protocol blocked cancelled
  state text,                              -- how the delivery ended: DELIVERED FAILED CANCELLED; NULL: it went on
  brand text,                              -- in the names of the headers that were sent; NULL: Dispatcher
  error text,
  response_headers text,                   -- JSON: names and values in turn; a common name is a number
  response_body bytea,                     -- its beginning, as received
  PRIMARY KEY (delivery_id, id)            -- no statement looks for an id alone: one index less for each attempt
) PARTITION BY RANGE (id);
CREATE INDEX attempts_ended ON dispatcher.attempts (endpoint_id, delivery_id) WHERE state IS NOT NULL;
CREATE INDEX attempts_ended_event ON dispatcher.attempts (event_id, endpoint_id) WHERE state IS NOT NULL;
-- For people who search for failures. A delivery that succeeds costs these indexes nothing. delivery_id + 0:
-- otherwise attempts_ended would have the same order, and the planner could read that one.
CREATE INDEX attempts_failed ON dispatcher.attempts (environment_id, delivery_id) WHERE state = 'FAILED';
CREATE INDEX attempts_failed_endpoint ON dispatcher.attempts (endpoint_id, (delivery_id + 0)) WHERE state = 'FAILED';
COMMENT ON TABLE dispatcher.attempts IS
  'Every attempt whose outcome was decided, one partition a day. Daemons insert. The API and the views read. Nothing'
  ' updates a row; a partition is dropped after retention.attempts.';
CREATE TABLE dispatcher.attempts_default PARTITION OF dispatcher.attempts DEFAULT;  -- as of events
CREATE INDEX attempts_default_id ON dispatcher.attempts_default (id);  -- for maintenance, which moves and deletes by day

CREATE TABLE dispatcher.change_notices (
  id bigint PRIMARY KEY DEFAULT dispatcher.next_id(),  -- a row a change: removing one must not remove a later one
  delivery_id bigint NOT NULL,
  endpoint_id uuid NOT NULL,
  shard smallint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);  -- rows live for a second
-- Not (shard, id): with old statistics the planner would look for an id through the whole index.
CREATE INDEX change_notices_shard ON dispatcher.change_notices (shard);
CREATE INDEX change_notices_delivery ON dispatcher.change_notices (delivery_id);
COMMENT ON TABLE dispatcher.change_notices IS
  'Change notices: this delivery was changed or deleted, but not by the owner of its shard, which may hold it in memory.'
  ' One is written in the transaction of the change. The owner reads it with its heartbeat, and removes it when its'
  ' memory is up to date.';

CREATE TABLE dispatcher.delivery_locks (
  slot smallint PRIMARY KEY
);
INSERT INTO dispatcher.delivery_locks SELECT generate_series(0, 255);
COMMENT ON TABLE dispatcher.delivery_locks IS
  'Rows to lock, one for a 256th of all deliveries, so that changes by people to one delivery happen one after another.'
  ' A delivery may be in one of three tables and so has no row of its own to lock. The rows never change.';

CREATE TABLE dispatcher.ordered_fan_out_lock (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row)
);
INSERT INTO dispatcher.ordered_fan_out_lock DEFAULT VALUES;
COMMENT ON TABLE dispatcher.ordered_fan_out_lock IS
  'One row to lock: the fan-out of environments with ordered endpoints is done by one daemon at a time, because it fixes'
  ' the order. It is a row, because every role that may connect can hold an advisory lock. The row never changes.';

-- ── views for people ─────────────────────────────────────────────────────────────────────────────────────

CREATE VIEW dispatcher.delivery_status AS
SELECT 'dlv_' || d.id AS delivery, 'evt_' || d.event_id AS event, d.type, d.environment_id, d.endpoint_id,
       'PENDING' AS state, d.attempt AS attempts, d.next_at AS next_attempt_at,
       last.status AS last_status, last.error AS last_error, dispatcher.id_time(d.id) AS created_at, NULL::timestamptz AS ended_at
FROM dispatcher.deliveries d
LEFT JOIN LATERAL (SELECT a.status, a.error FROM dispatcher.attempts a
                   WHERE a.delivery_id = d.id ORDER BY a.id DESC LIMIT 1) last ON true
UNION ALL
SELECT 'dlv_' || q.id, 'evt_' || q.event_id, q.type, q.environment_id, q.endpoint_id,
       'PENDING', q.attempt, NULL, last.status, 'in quarantine: ' || q.detail, dispatcher.id_time(q.id), NULL
FROM dispatcher.quarantine q
LEFT JOIN LATERAL (SELECT a.status FROM dispatcher.attempts a
                   WHERE a.delivery_id = q.id ORDER BY a.id DESC LIMIT 1) last ON true
WHERE q.delivery_id = q.id
UNION ALL
SELECT 'dlv_' || a.delivery_id, 'evt_' || a.event_id, a.type, a.environment_id, a.endpoint_id,
       a.state, a.attempt, NULL, a.status, a.error, dispatcher.id_time(a.delivery_id), dispatcher.id_time(a.id)
FROM dispatcher.attempts a
WHERE a.state IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM dispatcher.deliveries d WHERE d.id = a.delivery_id)
  AND NOT EXISTS (SELECT 1 FROM dispatcher.quarantine q WHERE q.id = a.delivery_id AND q.delivery_id = q.id)
  AND NOT EXISTS (SELECT 1 FROM dispatcher.attempts b
                  WHERE b.delivery_id = a.delivery_id AND b.state IS NOT NULL AND b.id > a.id);
COMMENT ON VIEW dispatcher.delivery_status IS
  'One row a delivery, pending or ended: its state, its attempts, and the last response. For people with psql.';

CREATE VIEW dispatcher.delivery_attempts AS
SELECT 'dlv_' || delivery_id AS delivery, 'evt_' || event_id AS event, type, environment_id, endpoint_id, attempt,
       started_at, outcome, status, duration_ms, error, next_at AS next_attempt_at, state,
       lookup_ms, connect_ms, tls_ms, first_byte_ms
FROM dispatcher.attempts;
COMMENT ON VIEW dispatcher.delivery_attempts IS 'One row an attempt, without headers and bodies. For people with psql.';

-- ── functions ────────────────────────────────────────────────────────────────────────────────────────────

-- PL/pgSQL, so that only the query that is needed is planned, for the ids that it is given. For the
-- compared pairs see history/of_endpoints.sql; WITH TIES returns all failures of a delivery, or none.
CREATE FUNCTION dispatcher.failures(environment text, endpoint uuid, below bigint, from_id bigint, most integer, until bigint)
RETURNS TABLE (id bigint, type text, status smallint, outcome text, error text, endpoint_id uuid, attempt_id bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_incremental_sort = off AS $$
#variable_conflict use_column
BEGIN
  IF endpoint IS NULL THEN
    RETURN QUERY SELECT a.delivery_id, a.type, a.status, a.outcome, a.error, a.endpoint_id, a.id FROM dispatcher.attempts a
    WHERE a.state = 'FAILED' AND (a.environment_id, a.delivery_id) < (environment, below)
      AND (a.environment_id, a.delivery_id) >= (environment, from_id)
      AND (a.id >= from_id OR from_id = 0) AND (until IS NULL OR a.id <= until)
    ORDER BY a.environment_id DESC, a.delivery_id DESC FETCH FIRST (most) ROWS WITH TIES;
  ELSE
    RETURN QUERY SELECT a.delivery_id, a.type, a.status, a.outcome, a.error, a.endpoint_id, a.id FROM dispatcher.attempts a
    WHERE a.state = 'FAILED' AND (a.endpoint_id, a.delivery_id + 0) < (endpoint, below)
      AND (a.endpoint_id, a.delivery_id + 0) >= (endpoint, from_id)
      AND (a.id >= from_id OR from_id = 0) AND (until IS NULL OR a.id <= until)
    ORDER BY a.endpoint_id DESC, a.delivery_id + 0 DESC FETCH FIRST (most) ROWS WITH TIES;
  END IF;
END $$;
COMMENT ON FUNCTION dispatcher.failures(text, uuid, bigint, bigint, integer, bigint) IS
  'Return the newest failures of an environment, or of one endpoint of it: those of deliveries from one id up to below'
  ' another, written up to the attempt "until".';

-- The settings of these functions force the way through an index. With statistics taken while the table
-- was empty, the planner would read a whole table or index before it returns the first row.
CREATE FUNCTION dispatcher.pending_ids(endpoints uuid[], each integer, most integer) RETURNS SETOF bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_incremental_sort = off AS $$
  SELECT d.id FROM unnest(endpoints) AS e(id)
  CROSS JOIN LATERAL (SELECT d.id FROM dispatcher.deliveries d WHERE d.endpoint_id = e.id ORDER BY d.id + 0 LIMIT each) AS d
  LIMIT most
$$;
COMMENT ON FUNCTION dispatcher.pending_ids(uuid[], integer, integer) IS
  'Return pending deliveries of some endpoints, the oldest first: at most so many of each endpoint, and so many in all.';
