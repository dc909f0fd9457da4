-- Events, which applications insert, and the tables that an event passes on its way to the fan-out:
-- the schema check, the inbox, quarantine. Everything that a producer's INSERT touches is here.

CREATE FUNCTION dispatcher.event_is_valid(type text, data json, idempotency_key text, source text, reference text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  -- The name of the broken rule is the message that producers see, as of a CHECK constraint of that name.
  broken text := CASE
    -- Compression makes data at most 255 times smaller. Small data need not be unpacked.
    WHEN pg_column_size(data) > 32768 AND octet_length(data::text) > 8388608 THEN 'data must be at most 8 MiB'
    WHEN octet_length(idempotency_key) < 1 OR octet_length(idempotency_key) > 255 THEN 'idempotency_key must be 1 to 255 bytes'
    WHEN octet_length(reference) < 1 OR octet_length(reference) > 255 THEN 'reference must be 1 to 255 bytes'
    WHEN source <> ALL ('{producer,dispatcher,directed}'::text[]) THEN 'source is the dispatcher''s own'
    WHEN source = 'producer' AND dispatcher.is_reserved(type) THEN 'type is reserved to the dispatcher'
    WHEN octet_length(type) > 128 THEN 'type must be at most 128 bytes'
    -- [.] and not a backslash: a session with standard_conforming_strings = off would read that as an escape.
    WHEN type !~ '^[A-Za-z0-9_]+([.][A-Za-z0-9_]+)*$' THEN 'type must be words of A-Z a-z 0-9 _ joined by single dots'
  END;
BEGIN
  IF broken IS NULL THEN
    RETURN true;
  END IF;
  RAISE EXCEPTION USING
    ERRCODE = 'check_violation', SCHEMA = 'dispatcher', TABLE = 'events', CONSTRAINT = broken,
    MESSAGE = format('new row for relation "events" violates check constraint "%s"', broken),
    DETAIL = format('Failing row contains (type, idempotency_key, reference, source) = (%s, %s, %s, %s).', left(type, 64),
                    coalesce(left(idempotency_key, 64), 'null'), coalesce(left(reference, 64), 'null'), source);
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
  PRIMARY KEY (id)
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
-- The trigger on events asks for each statement whether there is any.
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
COMMENT ON TABLE dispatcher.inbox IS
  'Events that wait for their fan-out. The trigger on events writes them. A daemon deletes a row in the statement that'
  ' makes its deliveries. A SELECT from it includes inbox_directed.';

-- A table of its own, because each of its indexes would make every INSERT of an event longer.
CREATE TABLE dispatcher.inbox_directed (PRIMARY KEY (id), CHECK (endpoint_id IS NOT NULL)) INHERITS (dispatcher.inbox)
WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX inbox_directed_endpoint ON dispatcher.inbox_directed (endpoint_id, event_id);
CREATE INDEX inbox_directed_delivery ON dispatcher.inbox_directed (delivery_id) WHERE delivery_id IS NOT NULL;
-- What is sent again of an event is found by the event. Otherwise its list would read the newest of these
-- rows, of all environments, and those of one environment could hide those of another.
CREATE INDEX inbox_directed_event ON dispatcher.inbox_directed (event_id) WHERE delivery_id IS NOT NULL;
COMMENT ON TABLE dispatcher.inbox_directed IS
  'The directed rows of the inbox: tests, retries, replays and what leaves quarantine, each for one endpoint.';

-- A sequence. A row that is updated every second would leave old versions, which cannot be removed while
-- an old snapshot is held, and that is the very case for which the mark exists.
CREATE SEQUENCE dispatcher.inbox_mark MINVALUE 0 START 0;
SELECT setval('dispatcher.inbox_mark', dispatcher.id_floor(now() - interval '1 minute'));
COMMENT ON SEQUENCE dispatcher.inbox_mark IS
  'The id from which daemons read the inbox. Below are deleted rows that vacuum has not removed yet, and rows of late'
  ' commits, which a slower scan finds. Daemons set it.';

-- Two SELECTs would take longer than the rest of the trigger that reads it.
CREATE SEQUENCE dispatcher.fast_path_limit MINVALUE 0 START 0;
SELECT setval('dispatcher.fast_path_limit', max_data) FROM dispatcher.settings;
COMMENT ON SEQUENCE dispatcher.fast_path_limit IS
  'settings.max_data if no schema is enforced, 0 if one is or if that is not known. The trigger on events reads no other'
  ' table for an event of at most 32 KiB while this is at least as much. Triggers and maintenance set it.';

CREATE TABLE dispatcher.quarantine (
  id bigint PRIMARY KEY,                   -- the delivery's id if there is one, else that of the inbox row
  event_id bigint NOT NULL,                -- this and the columns to after_endpoint: as in the inbox
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
-- Lists of deliveries show those in quarantine: their entries have their ids. Entries of events, of which
-- there may be many, are not in these indexes.
CREATE INDEX quarantine_delivery_endpoint ON dispatcher.quarantine (endpoint_id, id) WHERE delivery_id = id;
CREATE INDEX quarantine_delivery_environment ON dispatcher.quarantine (environment_id, id) WHERE delivery_id = id;
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

CREATE FUNCTION dispatcher.data_fits(size integer) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  most CONSTANT integer := (SELECT max_data FROM dispatcher.settings);
BEGIN
  IF size > most THEN
    RAISE EXCEPTION 'data is % bytes, the limit is %', size, most
      USING ERRCODE = 'check_violation',
            HINT = 'Send less data, or raise the limit: change delivery.max_data in the configuration, then run "dispatcher migrate".';
  END IF;
  RETURN true;
END $$;
COMMENT ON FUNCTION dispatcher.data_fits(integer) IS
  'Return true, or raise the error of an event with more data than settings.max_data, in bytes.';

-- It is a trigger and not a CHECK, because the server reads and plans the text of a CHECK again for each
-- INSERT; so it does with the WHEN of a trigger. It runs for each row, so that the error of a COPY names the
-- line. Neither this function nor events_inserted has SET search_path, which would double their time. So
-- every operator and every function in them has its schema: one of the same name in the schema public is
-- never run.
CREATE FUNCTION dispatcher.event_checked() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  -- For nearly all events. The rules are those of event_is_valid; reserved types begin like one of the three.
  IF NEW.source OPERATOR(pg_catalog.=) 'producer'
     AND NEW.idempotency_key IS NULL
     AND pg_catalog.octet_length(NEW.data::pg_catalog.text) OPERATOR(pg_catalog.<=) 32768  -- see events_inserted
     AND pg_catalog.octet_length(NEW.type) OPERATOR(pg_catalog.<=) 128
     AND NEW.type OPERATOR(pg_catalog.~) '^[A-Za-z0-9_]+([.][A-Za-z0-9_]+)*$'
     AND pg_catalog.left(NEW.type, 9) OPERATOR(pg_catalog.<>) ALL ('{webhook.t,endpoint.,delivery.}'::pg_catalog.text[]) THEN
    IF NEW.reference IS NULL AND NEW.environment_id OPERATOR(pg_catalog.=) 'env_default' THEN  -- it cannot be deleted
      RETURN NEW;
    END IF;
    IF NEW.reference IS NULL
       OR pg_catalog.octet_length(NEW.reference) OPERATOR(pg_catalog.<=) 255 AND NEW.reference OPERATOR(pg_catalog.<>) '' THEN
      IF NEW.environment_id OPERATOR(pg_catalog.=) 'env_default' THEN
        RETURN NEW;
      END IF;
      IF EXISTS (SELECT 1 FROM dispatcher.environments e WHERE e.id OPERATOR(pg_catalog.=) NEW.environment_id) THEN
        RETURN NEW;
      END IF;
    END IF;
  END IF;
  IF pg_catalog.current_setting('session_replication_role') OPERATOR(pg_catalog.=) 'replica' THEN
    PERFORM dispatcher.event_is_valid(NEW.type, NEW.data, NEW.idempotency_key, NEW.source, NEW.reference);
    RETURN NEW;
  END IF;
  IF NEW.idempotency_key IS NOT NULL THEN
    -- ON CONFLICT waits for the commit of the transaction that inserted the key first.
    INSERT INTO dispatcher.idempotency_keys (environment_id, key, event_id)
    VALUES (NEW.environment_id, NEW.idempotency_key, NEW.id) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
      RETURN NULL;
    END IF;
  END IF;
  PERFORM dispatcher.event_is_valid(NEW.type, NEW.data, NEW.idempotency_key, NEW.source, NEW.reference);
  IF NEW.environment_id OPERATOR(pg_catalog.<>) 'env_default'
     AND NOT EXISTS (SELECT 1 FROM dispatcher.environments e WHERE e.id OPERATOR(pg_catalog.=) NEW.environment_id) THEN
    RAISE EXCEPTION 'unknown environment %', pg_catalog.quote_literal(NEW.environment_id)
      USING ERRCODE := 'foreign_key_violation',
            HINT := 'Environments are the rows of dispatcher.environments. Use the id of one, or create it with POST /api/environments.';
  END IF;
  IF NEW.source OPERATOR(pg_catalog.<>) 'dispatcher'
     AND pg_catalog.octet_length(NEW.data::pg_catalog.text) OPERATOR(pg_catalog.>) 32768 THEN
    PERFORM dispatcher.data_fits(pg_catalog.octet_length(NEW.data::pg_catalog.text));
  END IF;
  RETURN NEW;
END $$;
COMMENT ON FUNCTION dispatcher.event_checked() IS
  'Trigger: refuse an event that is not valid, of an unknown environment or with too much data, and claim its idempotency'
  ' key. An event whose key is taken is not inserted.';
CREATE TRIGGER event_checked BEFORE INSERT ON dispatcher.events
  FOR EACH ROW EXECUTE FUNCTION dispatcher.event_checked();
-- Also for replicated events: the requests to receivers contain the type as it is.
ALTER TABLE dispatcher.events ENABLE ALWAYS TRIGGER event_checked;

-- Once a statement, over all its rows: per row it would cost much more. Every statement and every subquery in it
-- costs half as much as the whole INSERT into a bare table.
CREATE FUNCTION dispatcher.events_inserted() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
  any_to_check pg_catalog.bool;
BEGIN
  -- event_checked has compared larger data with the limit.
  IF pg_catalog.pg_sequence_last_value('dispatcher.fast_path_limit'::pg_catalog.regclass) OPERATOR(pg_catalog.>=) 32768 THEN
    INSERT INTO dispatcher.inbox (id, event_id, environment_id, type)
    SELECT n.id, n.id, n.environment_id, n.type FROM new_rows n WHERE n.source OPERATOR(pg_catalog.<>) 'directed';
  ELSE
    INSERT INTO dispatcher.unvalidated_events (id, environment_id, type)
    SELECT n.id, n.environment_id, n.type
    FROM new_rows n JOIN dispatcher.event_types t
      ON t.environment_id OPERATOR(pg_catalog.=) n.environment_id AND t.name OPERATOR(pg_catalog.=) n.type AND t.enforce
    WHERE n.source OPERATOR(pg_catalog.=) 'producer';
    any_to_check := FOUND;
    INSERT INTO dispatcher.inbox (id, event_id, environment_id, type)
    SELECT n.id, n.id, n.environment_id, n.type FROM new_rows n
    WHERE CASE
      WHEN n.source OPERATOR(pg_catalog.=) 'dispatcher'
        OR pg_catalog.octet_length(n.data::pg_catalog.text) OPERATOR(pg_catalog.<=) (SELECT s.max_data FROM dispatcher.settings s)
        OR dispatcher.data_fits(pg_catalog.octet_length(n.data::pg_catalog.text))
      THEN n.source OPERATOR(pg_catalog.<>) 'directed'
        AND NOT EXISTS (SELECT 1 FROM dispatcher.unvalidated_events u WHERE u.id OPERATOR(pg_catalog.=) n.id) END;
  END IF;
  IF dispatcher.daemon_listens() THEN
    IF dispatcher.daemon_polls() IS NOT TRUE THEN
      IF (FOUND OR any_to_check) AND dispatcher.must_notify() THEN
        PERFORM pg_catalog.pg_notify('dispatcher', '');
      END IF;
    END IF;
  END IF;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION dispatcher.events_inserted() IS
  'Trigger: refuse events with too much data, write the inbox rows, and wake the daemons.';
CREATE TRIGGER events_inserted AFTER INSERT ON dispatcher.events REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION dispatcher.events_inserted();

-- A sequence changes at once, and this before the commit: no event takes the fast path after an enforced
-- schema or a lower limit is visible. The triggers fire for replicated changes too.
CREATE FUNCTION dispatcher.leave_fast_path() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM setval('dispatcher.fast_path_limit', 0);
  RETURN NULL;
END $$;
COMMENT ON FUNCTION dispatcher.leave_fast_path() IS
  'Trigger: let every event be checked against the tables, until refresh_fast_path() allows the fast path again.';
CREATE TRIGGER leave_fast_path AFTER INSERT OR UPDATE ON dispatcher.event_types
  FOR EACH ROW WHEN (NEW.enforce) EXECUTE FUNCTION dispatcher.leave_fast_path();
ALTER TABLE dispatcher.event_types ENABLE ALWAYS TRIGGER leave_fast_path;
CREATE TRIGGER leave_fast_path AFTER UPDATE ON dispatcher.settings
  FOR EACH ROW WHEN (NEW.max_data <> OLD.max_data) EXECUTE FUNCTION dispatcher.leave_fast_path();
ALTER TABLE dispatcher.settings ENABLE ALWAYS TRIGGER leave_fast_path;

-- Logical replication and tools that copy databases insert with session_replication_role = replica, and
-- fire no ordinary trigger. Without this one, such events would be visible and never sent. It does not
-- write to the inbox: if the whole schema is replicated, the inbox row arrives by itself, and a second
-- one would stop the replication. It is a row trigger, because logical replication fires no others.
CREATE FUNCTION dispatcher.event_replicated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- ALTER TABLE … ENABLE TRIGGER ALL makes it fire for each insert, so ask again.
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

-- The lock makes sure that no change is under way whose trigger has already run. Nothing waits for it.
CREATE FUNCTION dispatcher.refresh_fast_path() RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  question CONSTANT text :=
    'SELECT CASE WHEN EXISTS (SELECT 1 FROM dispatcher.event_types WHERE enforce) THEN 0 ELSE max_data END FROM dispatcher.settings';
  wanted bigint;
BEGIN
  EXECUTE question INTO wanted;
  IF wanted = pg_sequence_last_value('dispatcher.fast_path_limit'::regclass) THEN
    RETURN true;
  END IF;
  LOCK TABLE dispatcher.event_types, dispatcher.settings IN SHARE MODE NOWAIT;
  EXECUTE question INTO wanted;
  PERFORM setval('dispatcher.fast_path_limit', wanted);
  RETURN true;
EXCEPTION WHEN lock_not_available THEN
  RETURN false;
END $$;
COMMENT ON FUNCTION dispatcher.refresh_fast_path() IS
  'Set fast_path_limit to what the tables say. Return false if a change to them is under way: call it again later.';

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
