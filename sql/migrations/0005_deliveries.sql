-- Deliveries: hot, pending ones only. Attempts: cold, append-only, one partition a day; the last
-- attempt of an ended delivery carries its state, and is all that is left of it.

CREATE TABLE dispatcher.deliveries (
  id bigint PRIMARY KEY,
  event_id bigint NOT NULL,
  endpoint_id uuid NOT NULL,
  environment_id text NOT NULL,
  type text NOT NULL,
  next_at timestamptz NOT NULL,            -- not to be tried before
  shard smallint NOT NULL,                 -- whose owner sends it
  attempt smallint NOT NULL DEFAULT 0,     -- attempts recorded; the fence against late results
  base smallint NOT NULL DEFAULT 0,        -- that count when the present retry schedule began
  parked boolean NOT NULL DEFAULT false    -- out of the timer index; its owner fetches it when there is room
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX deliveries_timer ON dispatcher.deliveries (shard, next_at) WHERE NOT parked;
CREATE INDEX deliveries_parked ON dispatcher.deliveries (endpoint_id, shard, next_at) WHERE parked;
CREATE INDEX deliveries_endpoint ON dispatcher.deliveries (endpoint_id, id);

CREATE TABLE dispatcher.attempts (
  id bigint NOT NULL DEFAULT dispatcher.next_id(),
  delivery_id bigint NOT NULL,
  event_id bigint NOT NULL,
  endpoint_id uuid NOT NULL,
  environment_id text NOT NULL,
  type text NOT NULL,
  attempt smallint NOT NULL,               -- 1, 2, …; a cancelled delivery's last row repeats the last number
  started_at timestamptz NOT NULL,
  outcome text NOT NULL,                   -- ok http timeout dns connect tls reset protocol blocked cancelled
  status smallint,
  duration_ms integer NOT NULL,
  error text,
  request_headers text NOT NULL,           -- JSON; those that vary from attempt to attempt, never a signature
  response_headers text,                   -- JSON
  response_body bytea,                     -- an excerpt, as received
  next_at timestamptz,                     -- when the next attempt was due; NULL when this was the last
  state text,                              -- how the delivery ended, on its final row
  PRIMARY KEY (id)
) PARTITION BY RANGE (id);
CREATE INDEX attempts_ended ON dispatcher.attempts (endpoint_id, delivery_id) WHERE state IS NOT NULL;
CREATE INDEX attempts_delivery ON dispatcher.attempts (delivery_id);
CREATE TABLE dispatcher.attempts_default PARTITION OF dispatcher.attempts DEFAULT;

-- For people with psql: one row a delivery.
CREATE VIEW dispatcher.delivery_status AS
SELECT 'dlv_' || d.id AS delivery, 'evt_' || d.event_id AS event, d.type, d.environment_id, d.endpoint_id,
       'PENDING' AS state, d.attempt::integer AS attempts, d.next_at AS next_attempt_at,
       last.status AS last_status, last.error AS last_error, dispatcher.id_time(d.id) AS created_at, NULL::timestamptz AS ended_at
FROM dispatcher.deliveries d
LEFT JOIN LATERAL (SELECT a.status, a.error FROM dispatcher.attempts a
                   WHERE a.delivery_id = d.id ORDER BY a.id DESC LIMIT 1) last ON true
UNION ALL
SELECT 'dlv_' || a.delivery_id, 'evt_' || a.event_id, a.type, a.environment_id, a.endpoint_id,
       a.state, a.attempt::integer, NULL, a.status, a.error, dispatcher.id_time(a.delivery_id), dispatcher.id_time(a.id)
FROM dispatcher.attempts a
WHERE a.state IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM dispatcher.deliveries d WHERE d.id = a.delivery_id)
  AND NOT EXISTS (SELECT 1 FROM dispatcher.attempts b
                  WHERE b.delivery_id = a.delivery_id AND b.state IS NOT NULL AND b.id > a.id);

CREATE VIEW dispatcher.delivery_attempts AS
SELECT 'dlv_' || delivery_id AS delivery, 'evt_' || event_id AS event, type, environment_id, endpoint_id, attempt::integer,
       started_at, outcome, status, duration_ms, error, next_at AS next_attempt_at, state
FROM dispatcher.attempts;
