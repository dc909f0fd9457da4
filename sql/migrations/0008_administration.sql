-- What people do to the system: tokens, who did what, requests that may be repeated, pauses, the
-- catalogue of event types, replays, and the word to a daemon that a delivery it holds has changed.

-- A token is shown once; its SHA-256 is all that is kept. Tokens are 256 random bits, so a plain hash
-- can not be guessed from, and finding it by index tells nothing of a token by its time.
CREATE TABLE dispatcher.tokens (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  name text NOT NULL,
  environment_id text REFERENCES dispatcher.environments,  -- NULL: every environment
  scope text NOT NULL CHECK (scope IN ('read', 'write', 'admin')),
  hash bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz,
  last_used_at timestamptz,                -- to the minute
  revoked_at timestamptz                   -- revoked ones stay, for the audit names them
);

-- Written in the transaction of the change itself.
CREATE TABLE dispatcher.audit (
  id bigint PRIMARY KEY DEFAULT dispatcher.next_id(),
  environment_id text,                     -- NULL: what concerns all of them
  actor text NOT NULL,                     -- 'token:<id>', 'cli:<user>', 'dispatcher'
  action text NOT NULL,                    -- 'webhook.update', in the words of the API
  subject text NOT NULL,                   -- the id of what was changed
  detail json NOT NULL DEFAULT '{}',       -- never a secret
  request_id text,
  address text                             -- from where
);
CREATE INDEX audit_environment ON dispatcher.audit (environment_id, id);

-- Answers to requests with an Idempotency-Key, for a day. The row is written in the transaction of
-- the change, so that a second request with the key waits for the first one's commit. `body` holds
-- no secret.
CREATE TABLE dispatcher.answered (
  environment_id text NOT NULL,            -- '*' for what concerns all of them
  key text NOT NULL CHECK (octet_length(key) BETWEEN 1 AND 255),
  fingerprint bytea NOT NULL,              -- of method, path and body
  status smallint,
  body bytea,
  answered_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (environment_id, key)
);
CREATE INDEX answered_age ON dispatcher.answered (answered_at);

-- People get their list back in the order they gave it.
ALTER TABLE dispatcher.subscriptions ADD COLUMN position smallint NOT NULL DEFAULT 0;

-- Sending is paused for one environment, or for all; what is emitted meanwhile is owed.
ALTER TABLE dispatcher.environments ADD COLUMN paused_at timestamptz;
ALTER TABLE dispatcher.settings ADD COLUMN paused_at timestamptz;

CREATE TABLE dispatcher.event_types (
  environment_id text NOT NULL REFERENCES dispatcher.environments,
  name text NOT NULL CHECK (name ~ '^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$' AND octet_length(name) <= 128),
  description text NOT NULL DEFAULT '',
  example json,
  schema json,
  enforce boolean NOT NULL DEFAULT false CHECK (NOT enforce OR schema IS NOT NULL),
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (environment_id, name)
);
CREATE INDEX event_types_enforced ON dispatcher.event_types (environment_id, name) WHERE enforce;

-- Events of types with an enforced schema wait here; a daemon looks at their data and moves them on to
-- the inbox, or to quarantine.
CREATE TABLE dispatcher.unexamined (
  id bigint PRIMARY KEY,                   -- the event's
  environment_id text NOT NULL,
  type text NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

-- Replays: deliveries of one endpoint owed again, made from its history at a rate.
CREATE TABLE dispatcher.recoveries (
  id bigint PRIMARY KEY DEFAULT dispatcher.next_id(),
  environment_id text NOT NULL,
  endpoint_id uuid NOT NULL REFERENCES dispatcher.endpoints ON DELETE CASCADE,
  since timestamptz NOT NULL,
  until timestamptz NOT NULL,
  missed boolean NOT NULL,                 -- also events that were not owed at their time
  rate integer CHECK (rate > 0),           -- deliveries a second; NULL: as fast as it goes
  state text NOT NULL DEFAULT 'RUNNING' CHECK (state IN ('RUNNING', 'DONE', 'CANCELLED')),
  total bigint NOT NULL,                   -- counted when it was asked for
  made bigint NOT NULL DEFAULT 0,
  position bigint NOT NULL,                -- event ids above it are still to be looked at
  next_at timestamptz NOT NULL DEFAULT now(),
  created_at timestamptz NOT NULL DEFAULT now(),
  finished_at timestamptz
);
CREATE INDEX recoveries_endpoint ON dispatcher.recoveries (endpoint_id, id);
CREATE INDEX recoveries_running ON dispatcher.recoveries (next_at) WHERE state = 'RUNNING';

-- "Look at this delivery again": its row was changed, or deleted, by somebody else than the daemon that
-- holds it. Written in the same transaction; the shard's owner reads it with its heartbeat, and removes it
-- once nothing of the delivery as it was before is in its memory or under way.
CREATE TABLE dispatcher.nudges (
  id bigint PRIMARY KEY DEFAULT dispatcher.next_id(),  -- a change, a row: removing one can not remove a later one
  delivery_id bigint NOT NULL,
  endpoint_id uuid NOT NULL,
  shard smallint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
CREATE INDEX nudges_shard ON dispatcher.nudges (shard, id);
CREATE INDEX nudges_delivery ON dispatcher.nudges (delivery_id);

-- Whether a delivery is on its way back already.
CREATE INDEX inbox_delivery ON dispatcher.inbox (delivery_id) WHERE delivery_id IS NOT NULL;

-- All deliveries of one event.
CREATE INDEX deliveries_event ON dispatcher.deliveries (event_id);
CREATE INDEX attempts_ended_event ON dispatcher.attempts (event_id) WHERE state IS NOT NULL;

CREATE OR REPLACE FUNCTION dispatcher.events_needed(bound bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT EXISTS (SELECT 1 FROM dispatcher.inbox WHERE event_id < bound)
      OR EXISTS (SELECT 1 FROM dispatcher.deliveries WHERE event_id < bound)
      OR EXISTS (SELECT 1 FROM dispatcher.quarantine WHERE event_id < bound)
      OR EXISTS (SELECT 1 FROM dispatcher.unexamined WHERE id < bound)
      OR EXISTS (SELECT 1 FROM dispatcher.recoveries WHERE state = 'RUNNING' AND position < bound)
$$;

-- As before, but for the types whose events are to be examined first.
CREATE OR REPLACE FUNCTION dispatcher.events_inserted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  refused record;
BEGIN
  SELECT n.environment_id, e.id IS NULL AS unknown, octet_length(n.data::text) AS size, s.max_data INTO refused
  FROM new_rows n CROSS JOIN dispatcher.settings s LEFT JOIN dispatcher.environments e ON e.id = n.environment_id
  WHERE e.id IS NULL OR (octet_length(n.data::text) > s.max_data AND n.source <> 'dispatcher') LIMIT 1;
  IF FOUND AND refused.unknown THEN
    RAISE EXCEPTION 'unknown environment %', quote_literal(refused.environment_id)
      USING ERRCODE = 'foreign_key_violation', HINT = 'Environments are the rows of dispatcher.environments.';
  ELSIF FOUND THEN
    RAISE EXCEPTION 'data is % bytes, the limit is %', refused.size, refused.max_data
      USING ERRCODE = 'check_violation', HINT = 'The limit is delivery.max_data in the configuration; "dispatcher migrate" writes it here.';
  END IF;
  IF EXISTS (SELECT 1 FROM dispatcher.event_types WHERE enforce) THEN
    INSERT INTO dispatcher.unexamined (id, environment_id, type)
    SELECT n.id, n.environment_id, n.type
    FROM new_rows n JOIN dispatcher.event_types t ON t.environment_id = n.environment_id AND t.name = n.type AND t.enforce
    WHERE n.source = 'producer';
    INSERT INTO dispatcher.inbox (id, event_id, environment_id, type)
    SELECT n.id, n.id, n.environment_id, n.type FROM new_rows n
    WHERE n.source <> 'directed' AND NOT EXISTS (SELECT 1 FROM dispatcher.unexamined u WHERE u.id = n.id);
    PERFORM dispatcher.wake();
    RETURN NULL;
  END IF;
  INSERT INTO dispatcher.inbox (id, event_id, environment_id, type)
  SELECT id, id, environment_id, type FROM new_rows WHERE source <> 'directed';
  IF FOUND THEN
    PERFORM dispatcher.wake();
  END IF;
  RETURN NULL;
END $$;

REVOKE ALL ON ALL TABLES IN SCHEMA dispatcher FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA dispatcher FROM PUBLIC;
