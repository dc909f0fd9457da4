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

-- Its place in a listing, newest first: names have no order of their own.
ALTER TABLE dispatcher.environments ADD COLUMN position bigint NOT NULL DEFAULT dispatcher.next_id();
CREATE UNIQUE INDEX environments_position ON dispatcher.environments (position);

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
  total bigint,                            -- counted when it was asked for; NULL: too many to count
  made bigint NOT NULL DEFAULT 0,
  position bigint NOT NULL,                -- ids above it are still to be looked at
  next_at timestamptz NOT NULL DEFAULT now(),
  created_at timestamptz NOT NULL DEFAULT now(),
  finished_at timestamptz
);
CREATE INDEX recoveries_endpoint ON dispatcher.recoveries (endpoint_id, id);
CREATE INDEX recoveries_running ON dispatcher.recoveries (next_at) WHERE state = 'RUNNING';
CREATE UNIQUE INDEX recoveries_one_at_a_time ON dispatcher.recoveries (endpoint_id) WHERE state = 'RUNNING';
-- What is on its way to an endpoint: plain rows, which are all there is most of the time, are not in it.
CREATE INDEX inbox_directed ON dispatcher.inbox (endpoint_id, event_id) WHERE endpoint_id IS NOT NULL;

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

-- All deliveries of one event, and whether it has one to a certain endpoint.
CREATE INDEX deliveries_event ON dispatcher.deliveries (event_id, endpoint_id);
CREATE INDEX attempts_ended_event ON dispatcher.attempts (event_id, endpoint_id) WHERE state IS NOT NULL;

-- The smallest id of the days whose attempts are all still there. Whether an older event was delivered
-- nobody can say any more.
CREATE FUNCTION dispatcher.attempts_since() RETURNS bigint LANGUAGE sql STABLE AS $$
  SELECT min(dispatcher.id_floor(to_date(right(c.relname, 8), 'YYYYMMDD')::timestamp AT TIME ZONE 'UTC'))
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
  WHERE i.inhparent = 'dispatcher.attempts'::regclass AND c.relname ~ '^attempts_\d{8}$'
$$;

-- What one endpoint can be sent again, of the ids above `low`, to `high` at the most: its deliveries with
-- such ids that failed or expired, and events with such ids that were never owed to it. It looks as far as
-- `most` ended deliveries and `most` events reach; a last row, without an event, says how far that was.
-- Never beyond an event that waits to be fanned out: whether it is owed is not known yet.
-- Whatever the statistics say, it reads in the order of an index what it looks at, and no more: thence the
-- settings; and subqueries with LIMIT 1, where EXISTS may become a join of whole tables.
CREATE FUNCTION dispatcher.recoverable(for_environment text, for_endpoint uuid, low bigint, high bigint, with_missed boolean, most integer)
RETURNS TABLE (place bigint, event_id bigint, type text, delivery_id bigint, attempt smallint)
LANGUAGE sql STABLE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
  WITH far AS MATERIALIZED (
    SELECT least(high,
      (SELECT a.delivery_id FROM dispatcher.attempts a
       WHERE a.endpoint_id = for_endpoint AND a.state IS NOT NULL AND a.delivery_id > low AND a.delivery_id <= high AND a.id > low
       ORDER BY a.delivery_id OFFSET most - 1 LIMIT 1),
      (SELECT e.id FROM dispatcher.events e
       WHERE with_missed AND e.id > low AND e.id <= high ORDER BY e.id OFFSET most - 1 LIMIT 1)) AS id
  ), reach AS MATERIALIZED (
    SELECT least((SELECT id FROM far),
      (SELECT min(i.id) - 1 FROM dispatcher.inbox i
       WHERE with_missed AND i.id > low AND i.id <= (SELECT id FROM far) AND i.endpoint_id IS NULL AND i.environment_id = for_environment),
      (SELECT min(u.id) - 1 FROM dispatcher.unexamined u
       WHERE with_missed AND u.id > low AND u.id <= (SELECT id FROM far) AND u.environment_id = for_environment)) AS id
  ), ended AS MATERIALIZED (                 -- a delivery that was sent again has ended more than once
    SELECT DISTINCT ON (a.delivery_id) a.delivery_id, a.event_id, a.type, a.attempt,
           a.state = 'FAILED' OR (a.state = 'CANCELLED' AND a.error LIKE 'expired:%') AS unhappily
    FROM dispatcher.attempts a
    WHERE a.endpoint_id = for_endpoint AND a.state IS NOT NULL
      AND a.delivery_id > low AND a.delivery_id <= (SELECT id FROM reach) AND a.id > low
    ORDER BY a.delivery_id, a.id DESC
  ), failed AS (
    SELECT n.delivery_id AS place, n.event_id, n.type, n.delivery_id, n.attempt
    FROM ended n
    WHERE n.unhappily
      AND (SELECT d.id FROM dispatcher.deliveries d WHERE d.id = n.delivery_id LIMIT 1) IS NULL
      AND (SELECT i.id FROM dispatcher.inbox i
           WHERE i.endpoint_id = for_endpoint AND i.event_id = n.event_id AND i.delivery_id = n.delivery_id LIMIT 1) IS NULL
      AND (SELECT e.id FROM dispatcher.events e WHERE e.id = n.event_id LIMIT 1) IS NOT NULL
  ), seen AS MATERIALIZED (
    SELECT e.id, e.type FROM dispatcher.events e
    WHERE with_missed AND e.id > greatest(low, (SELECT dispatcher.attempts_since()) - 1) AND e.id <= (SELECT id FROM reach)
      AND e.environment_id = for_environment AND e.source <> 'directed'
  ), types AS MATERIALIZED (
    SELECT t.type FROM (SELECT DISTINCT s.type FROM seen s) t
    WHERE EXISTS (SELECT 1 FROM dispatcher.subscriptions s
                  WHERE s.environment_id = for_environment AND s.endpoint_id = for_endpoint AND s.pattern = ANY (dispatcher.patterns_of(t.type)))
  ), wanted AS MATERIALIZED (                -- most were delivered at once: a hash is cheaper than a lookup a partition
    SELECT s.id, s.type FROM seen s
    WHERE s.type IN (SELECT t.type FROM types t) AND s.id NOT IN (SELECT n.event_id FROM ended n)
  ), missed AS (
    SELECT s.id AS place, s.id AS event_id, s.type
    FROM wanted s
    WHERE (SELECT d.id FROM dispatcher.deliveries d WHERE d.event_id = s.id AND d.endpoint_id = for_endpoint LIMIT 1) IS NULL
      AND (SELECT a.id FROM dispatcher.attempts a
           WHERE a.event_id = s.id AND a.endpoint_id = for_endpoint AND a.state IS NOT NULL AND a.id > s.id LIMIT 1) IS NULL
      AND (SELECT i.id FROM dispatcher.inbox i WHERE i.endpoint_id = for_endpoint AND i.event_id = s.id LIMIT 1) IS NULL
      AND (SELECT q.id FROM dispatcher.quarantine q WHERE q.id = s.id LIMIT 1) IS NULL
  )
  SELECT f.place, f.event_id, f.type, f.delivery_id, f.attempt FROM failed f
  UNION ALL
  SELECT m.place, m.event_id, m.type, NULL, 0::smallint FROM missed m
  UNION ALL
  SELECT (SELECT id FROM reach), NULL, NULL, NULL, NULL
$$;

CREATE OR REPLACE FUNCTION dispatcher.events_needed(bound bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT EXISTS (SELECT 1 FROM dispatcher.inbox WHERE event_id < bound)
      OR EXISTS (SELECT 1 FROM dispatcher.deliveries WHERE event_id < bound)
      OR EXISTS (SELECT 1 FROM dispatcher.quarantine WHERE event_id < bound)
      OR EXISTS (SELECT 1 FROM dispatcher.unexamined WHERE id < bound)
      OR EXISTS (SELECT 1 FROM dispatcher.recoveries WHERE state = 'RUNNING' AND position < bound - 1)
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
