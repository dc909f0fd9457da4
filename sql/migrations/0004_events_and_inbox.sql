-- Events, which applications insert, and the tables that an event passes on its way to the fan-out:
-- the schema check, the inbox, quarantine. Everything that a producer's INSERT touches is here.

-- One function, because the server reads and plans the text of every CHECK again for every INSERT: six of
-- them took a third of its time. It has no SET search_path, which would cost as much again. So every
-- operator and every function in it has its schema: one of the same name in the schema public is never run.
CREATE FUNCTION dispatcher.event_is_valid(type text, data json, idempotency_key text, source text, reference text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  -- The name of the broken rule is the message that producers see, as of a CHECK constraint of that name.
  broken pg_catalog.text := CASE
    -- Compression makes data at most 255 times smaller. Small data need not be unpacked.
    WHEN pg_catalog.pg_column_size(data) OPERATOR(pg_catalog.>) 32768
      AND pg_catalog.octet_length(data::pg_catalog.text) OPERATOR(pg_catalog.>) 8388608 THEN 'data must be at most 8 MiB'
    WHEN pg_catalog.octet_length(idempotency_key) OPERATOR(pg_catalog.<) 1
      OR pg_catalog.octet_length(idempotency_key) OPERATOR(pg_catalog.>) 255 THEN 'idempotency_key must be 1 to 255 bytes'
    WHEN pg_catalog.octet_length(reference) OPERATOR(pg_catalog.<) 1
      OR pg_catalog.octet_length(reference) OPERATOR(pg_catalog.>) 255 THEN 'reference must be 1 to 255 bytes'
    WHEN source OPERATOR(pg_catalog.<>) ALL ('{producer,dispatcher,directed}'::pg_catalog.text[])
      THEN 'source is the dispatcher''s own'
    WHEN source OPERATOR(pg_catalog.=) 'producer' AND dispatcher.is_reserved(type) THEN 'type is reserved to the dispatcher'
    WHEN pg_catalog.octet_length(type) OPERATOR(pg_catalog.>) 128 THEN 'type must be at most 128 bytes'
    -- [.] and not a backslash: a session with standard_conforming_strings = off would read that as an escape.
    WHEN type OPERATOR(pg_catalog.!~) '^[A-Za-z0-9_]+([.][A-Za-z0-9_]+)*$'
      THEN 'type must be words of A-Z a-z 0-9 _ joined by single dots'
  END;
BEGIN
  IF broken IS NULL THEN
    RETURN true;
  END IF;
  RAISE EXCEPTION USING
    ERRCODE := 'check_violation', SCHEMA := 'dispatcher', TABLE := 'events', CONSTRAINT := broken,
    MESSAGE := pg_catalog.format('new row for relation "events" violates check constraint "%s"', broken),
    DETAIL := pg_catalog.format('Failing row contains (type, idempotency_key, source) = (%s, %s, %s).',
                               pg_catalog.left(type, 64), coalesce(pg_catalog.left(idempotency_key, 64), 'null'), source);
END $$;
COMMENT ON FUNCTION dispatcher.event_is_valid(text, json, text, text, text) IS
  'Return true, or raise the error of a CHECK constraint that is named like the broken rule.';

CREATE TABLE dispatcher.events (
  id bigint NOT NULL DEFAULT dispatcher.event_id(),
  environment_id text NOT NULL DEFAULT 'env_default',
  type text NOT NULL,
  data json NOT NULL,                      -- json and not jsonb: the text is kept byte for byte
  idempotency_key text,
  source text NOT NULL DEFAULT 'producer', -- 'dispatcher': its operational events; 'directed': for one endpoint only
  reference text,                          -- the producer's name for what it is about, for people who search; not sent
  PRIMARY KEY (id),
  CONSTRAINT "event is valid" CHECK (dispatcher.event_is_valid(type, data, idempotency_key, source, reference))
) PARTITION BY RANGE (id);
CREATE INDEX events_reference ON dispatcher.events (environment_id, reference, id) WHERE reference IS NOT NULL;
COMMENT ON TABLE dispatcher.events IS
  'The events, one partition a day of creation. Producers insert type, data, environment_id, idempotency_key and'
  ' reference, by INSERT, COPY or dispatcher.emit(). Nothing updates a row; a partition is dropped after retention.events.';
-- Empty in normal operation. Otherwise an INSERT would fail if the partition of its day is missing.
CREATE TABLE dispatcher.events_default PARTITION OF dispatcher.events DEFAULT;

CREATE TABLE dispatcher.idempotency_keys (
  environment_id text NOT NULL,
  key text NOT NULL CONSTRAINT "idempotency_key must be 1 to 255 bytes" CHECK (octet_length(key) BETWEEN 1 AND 255),
  event_id bigint NOT NULL,
  PRIMARY KEY (environment_id, key)
);
CREATE INDEX idempotency_keys_event ON dispatcher.idempotency_keys (event_id);  -- for maintenance
COMMENT ON TABLE dispatcher.idempotency_keys IS
  'The idempotency keys of events. A trigger on events writes it; emit() reads it. Maintenance deletes keys whose event'
  ' is gone. It is a table of its own, because a partitioned table can have no unique index without the partition key.';

CREATE TABLE dispatcher.event_types (
  environment_id text NOT NULL REFERENCES dispatcher.environments,
  name text NOT NULL CHECK (name ~ '^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$' AND octet_length(name) <= 128),
  description text NOT NULL DEFAULT '',
  example json,
  schema json,                             -- a JSON Schema
  enforce boolean NOT NULL DEFAULT false CHECK (NOT enforce OR schema IS NOT NULL),
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (environment_id, name)
);
-- The trigger on events asks for every statement whether there is any.
CREATE INDEX event_types_enforced ON dispatcher.event_types (environment_id, name) WHERE enforce;
-- Names are listed by code point. The primary key sorts them by the language of the database.
CREATE INDEX event_types_name ON dispatcher.event_types (environment_id, name COLLATE "C");
COMMENT ON TABLE dispatcher.event_types IS
  'The catalogue of event types. The API writes it. It documents types; only an enforced schema has an effect.';

CREATE TABLE dispatcher.unvalidated_events (
  id bigint PRIMARY KEY,                   -- the event's
  environment_id text NOT NULL,
  type text NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);  -- as of the inbox
COMMENT ON TABLE dispatcher.unvalidated_events IS
  'Events of a type with an enforced schema, before the check. The trigger on events writes it. A daemon checks the'
  ' data and moves the row to the inbox or to quarantine.';

CREATE TABLE dispatcher.inbox (
  id bigint PRIMARY KEY,                   -- of a plain row: the event's
  event_id bigint NOT NULL,
  environment_id text NOT NULL,
  type text NOT NULL,
  endpoint_id uuid,                        -- of a directed row: the only endpoint to send to, whatever it subscribes to
  delivery_id bigint,                      -- of a directed row: an ended delivery to send again under this id
  attempt integer NOT NULL DEFAULT 0,      -- how many attempts that delivery had
  after_endpoint uuid                      -- an event with very many endpoints has been fanned out up to this one
  -- Rows live for milliseconds. Autovacuum counts dead rows and not their share of an empty table.
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
-- Both are for directed rows. Plain rows, which are nearly all, cost these indexes nothing.
CREATE INDEX inbox_directed ON dispatcher.inbox (endpoint_id, event_id) WHERE endpoint_id IS NOT NULL;
CREATE INDEX inbox_delivery ON dispatcher.inbox (delivery_id) WHERE delivery_id IS NOT NULL;
COMMENT ON TABLE dispatcher.inbox IS
  'Events that wait for their fan-out. The trigger on events writes plain rows; tests, retries, replays and operational'
  ' events write directed rows. A daemon deletes a row in the statement that makes its deliveries.';

-- A sequence. A row that is updated every second would leave old versions, which cannot be removed while
-- an old snapshot is held, and that is the very case for which the mark exists.
CREATE SEQUENCE dispatcher.inbox_mark MINVALUE 0 START 0;
SELECT setval('dispatcher.inbox_mark', dispatcher.id_floor(now() - interval '1 minute'));
COMMENT ON SEQUENCE dispatcher.inbox_mark IS
  'The id from which daemons read the inbox. Below are deleted rows that vacuum has not removed yet, and rows of late'
  ' commits, which a slower scan finds. Daemons set it.';

CREATE TABLE dispatcher.quarantine (
  id bigint PRIMARY KEY,                   -- this and the columns to after_endpoint: as in the inbox
  event_id bigint NOT NULL,
  environment_id text NOT NULL,
  type text NOT NULL,
  endpoint_id uuid,
  delivery_id bigint,
  attempt integer NOT NULL,
  after_endpoint uuid,
  reason text NOT NULL,                    -- a stable word for programs
  detail text NOT NULL,                    -- a sentence for people
  quarantined_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX quarantine_environment ON dispatcher.quarantine (environment_id, id);
CREATE INDEX quarantine_event ON dispatcher.quarantine (event_id);
COMMENT ON TABLE dispatcher.quarantine IS
  'Inbox rows that a daemon could not fan out or record, and why. Daemons write it. People release or discard a row'
  ' through the API. Otherwise a bad row would fail again and again, and stop the rows behind it.';

CREATE TABLE dispatcher.replicated_events (
  event_id bigint PRIMARY KEY,
  environment_id text NOT NULL,
  type text NOT NULL,
  arrived_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE dispatcher.replicated_events IS
  'Events inserted with session_replication_role = replica. A trigger writes it. Some seconds later maintenance sends'
  ' those whose inbox row was not replicated too.';

-- ── triggers of an INSERT ────────────────────────────────────────────────────────────────────────────────

-- ON CONFLICT waits for the commit of the transaction that inserted the key first.
CREATE FUNCTION dispatcher.event_key() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO dispatcher.idempotency_keys (environment_id, key, event_id)
  VALUES (NEW.environment_id, NEW.idempotency_key, NEW.id) ON CONFLICT DO NOTHING;
  RETURN CASE WHEN FOUND THEN NEW END;
END $$;
COMMENT ON FUNCTION dispatcher.event_key() IS
  'Trigger: claim the idempotency key of an event. An event whose key is taken is not inserted.';
CREATE TRIGGER event_key BEFORE INSERT ON dispatcher.events
  FOR EACH ROW WHEN (NEW.idempotency_key IS NOT NULL) EXECUTE FUNCTION dispatcher.event_key();

CREATE FUNCTION dispatcher.refuse_event(environment_id text, size integer) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF size IS NULL THEN
    RAISE EXCEPTION 'unknown environment %', quote_literal(environment_id)
      USING ERRCODE = 'foreign_key_violation',
            HINT = 'Environments are the rows of dispatcher.environments. Use the id of one, or create it with POST /api/environments.';
  END IF;
  RAISE EXCEPTION 'data is % bytes, the limit is %', size, (SELECT max_data FROM dispatcher.settings)
    USING ERRCODE = 'check_violation',
          HINT = 'Send less data, or raise the limit: change delivery.max_data in the configuration, then run "dispatcher migrate".';
END $$;
COMMENT ON FUNCTION dispatcher.refuse_event(text, integer) IS
  'Raise the error of an event with too much data, or, if size is NULL, of one with an unknown environment.';

-- Once a statement, over all its rows: per row it would cost much more. It checks what a CHECK cannot see.
-- Every statement in it costs as much as the whole INSERT into a bare table. So there is one for events
-- that are in order; it leaves out all of them if any schema is enforced. The fewer subqueries the better. It has no SET search_path, as
-- event_is_valid. Subqueries that return a value, and not EXISTS, for the environment: otherwise the
-- planner could read all environments, for many events in the first statement of a session.
CREATE FUNCTION dispatcher.events_inserted() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
  any_to_check pg_catalog.bool;
BEGIN
  INSERT INTO dispatcher.inbox (id, event_id, environment_id, type)
  SELECT n.id, n.id, n.environment_id, n.type FROM new_rows n
  WHERE CASE
    WHEN (SELECT e.id FROM dispatcher.environments e WHERE e.id OPERATOR(pg_catalog.=) n.environment_id) IS NULL
      THEN dispatcher.refuse_event(n.environment_id, NULL)
    WHEN n.source OPERATOR(pg_catalog.<>) 'dispatcher'
      AND pg_catalog.octet_length(n.data::pg_catalog.text) OPERATOR(pg_catalog.>) (SELECT s.max_data FROM dispatcher.settings s)
      THEN dispatcher.refuse_event(n.environment_id, pg_catalog.octet_length(n.data::pg_catalog.text))
    WHEN EXISTS (SELECT 1 FROM dispatcher.event_types t WHERE t.enforce) THEN false
    ELSE n.source OPERATOR(pg_catalog.<>) 'directed' END;
  IF FOUND THEN
    IF dispatcher.must_notify() THEN
      PERFORM pg_catalog.pg_notify('dispatcher', '');
    END IF;
    RETURN NULL;
  END IF;
  INSERT INTO dispatcher.unvalidated_events (id, environment_id, type)
  SELECT n.id, n.environment_id, n.type
  FROM new_rows n JOIN dispatcher.event_types t
    ON t.environment_id OPERATOR(pg_catalog.=) n.environment_id AND t.name OPERATOR(pg_catalog.=) n.type AND t.enforce
  WHERE n.source OPERATOR(pg_catalog.=) 'producer';
  any_to_check := FOUND;
  INSERT INTO dispatcher.inbox (id, event_id, environment_id, type)
  SELECT n.id, n.id, n.environment_id, n.type FROM new_rows n
  WHERE n.source OPERATOR(pg_catalog.<>) 'directed'
    AND NOT EXISTS (SELECT 1 FROM dispatcher.unvalidated_events u WHERE u.id OPERATOR(pg_catalog.=) n.id);
  IF (any_to_check OR FOUND) AND dispatcher.must_notify() THEN
    PERFORM pg_catalog.pg_notify('dispatcher', '');
  END IF;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION dispatcher.events_inserted() IS
  'Trigger: refuse events of unknown environments and too large ones, write the inbox rows, and wake the daemons.';
CREATE TRIGGER events_inserted AFTER INSERT ON dispatcher.events REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION dispatcher.events_inserted();

-- Logical replication and tools that copy databases insert with session_replication_role = replica, and
-- fire no ordinary trigger. Without this one, such events would be visible and never sent. It does not
-- write to the inbox: if the whole schema is replicated, the inbox row arrives by itself, and a second
-- one would stop the replication. It is a row trigger, because logical replication fires no others.
CREATE FUNCTION dispatcher.event_replicated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- ALTER TABLE … ENABLE TRIGGER ALL makes it fire for every insert, so ask again.
  IF current_setting('session_replication_role') = 'replica' THEN
    INSERT INTO dispatcher.replicated_events (event_id, environment_id, type)
    VALUES (NEW.id, NEW.environment_id, NEW.type) ON CONFLICT DO NOTHING;
  END IF;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION dispatcher.event_replicated() IS
  'Trigger: note an event that was inserted with session_replication_role = replica.';
CREATE TRIGGER event_replicated AFTER INSERT ON dispatcher.events
  FOR EACH ROW WHEN (NEW.source <> 'directed') EXECUTE FUNCTION dispatcher.event_replicated();
ALTER TABLE dispatcher.events ENABLE REPLICA TRIGGER event_replicated;

-- ── functions ────────────────────────────────────────────────────────────────────────────────────────────

CREATE FUNCTION dispatcher.emit(type text, data json, environment_id text DEFAULT 'env_default', idempotency_key text DEFAULT NULL,
                                reference text DEFAULT NULL)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  event_id bigint;
BEGIN
  INSERT INTO dispatcher.events (environment_id, type, data, idempotency_key, reference)
  VALUES (coalesce(emit.environment_id, 'env_default'), emit.type, emit.data, emit.idempotency_key, emit.reference)
  RETURNING id INTO event_id;
  IF event_id IS NULL THEN
    SELECT k.event_id INTO event_id FROM dispatcher.idempotency_keys k
    WHERE k.environment_id = coalesce(emit.environment_id, 'env_default') AND k.key = emit.idempotency_key;
  END IF;
  RETURN 'evt_' || event_id;
END $$;
COMMENT ON FUNCTION dispatcher.emit(text, json, text, text, text) IS
  'Emit an event and return its id. If the idempotency key was used before, emit nothing and return the first event''s id.';

-- For the settings of both functions: without statistics the planner might read and sort a whole table.
-- The compared rows have the order of one index only.
CREATE FUNCTION dispatcher.events_with_reference(environment text, wanted text, below bigint, from_id bigint, most integer) RETURNS SETOF bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_incremental_sort = off AS $$
BEGIN
  RETURN QUERY SELECT e.id FROM dispatcher.events e
  WHERE e.reference IS NOT NULL AND (e.environment_id, e.reference, e.id) < (environment, wanted, below)
    AND (e.environment_id, e.reference, e.id) >= (environment, wanted, from_id) AND e.id < below AND e.id >= from_id
  ORDER BY e.environment_id DESC, e.reference DESC, e.id DESC LIMIT most;
END $$;
COMMENT ON FUNCTION dispatcher.events_with_reference(text, text, bigint, bigint, integer) IS
  'Return the newest events of an environment with this reference: ids from one up to below another.';

CREATE FUNCTION dispatcher.waiting_for_fan_out(most integer) RETURNS TABLE (id bigint, environment_id text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
  (SELECT i.id, i.environment_id FROM dispatcher.inbox i ORDER BY i.id LIMIT most)
  UNION ALL
  (SELECT u.id, u.environment_id FROM dispatcher.unvalidated_events u ORDER BY u.id LIMIT most)
$$;
COMMENT ON FUNCTION dispatcher.waiting_for_fan_out(integer) IS
  'Return the first rows of the inbox, and the first that wait for the schema check: at most this many of each.';
