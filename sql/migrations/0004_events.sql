-- Events: what applications insert. The inbox: events not yet fanned out. Quarantine: those that
-- can not be. Everything an application touches is here.

-- One partition a day of creation, by id. The default partition is empty in normal life: it is
-- there so that an INSERT never fails because nobody made tomorrow's in time.
CREATE TABLE dispatcher.events (
  id bigint NOT NULL DEFAULT dispatcher.event_id(),
  environment_id text NOT NULL DEFAULT 'env_default',
  type text NOT NULL,
  data json NOT NULL,                      -- json, not jsonb: the text is kept byte for byte
  idempotency_key text,
  source text NOT NULL DEFAULT 'producer', -- 'dispatcher': its own operational events; 'directed': to one endpoint
  PRIMARY KEY (id),
  CONSTRAINT "type must be words of A-Z a-z 0-9 _ joined by single dots"
    CHECK (type ~ '^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$'),
  CONSTRAINT "type must be at most 128 bytes" CHECK (octet_length(type) <= 128),
  CONSTRAINT "type is reserved to the dispatcher"
    CHECK (source <> 'producer' OR NOT dispatcher.is_reserved(type)),
  CONSTRAINT "data must be at most 8 MiB" CHECK (octet_length(data::text) <= 8388608),
  CONSTRAINT "idempotency_key must be 1 to 255 bytes" CHECK (octet_length(idempotency_key) BETWEEN 1 AND 255),
  CONSTRAINT "source is the dispatcher's own" CHECK (source IN ('producer', 'dispatcher', 'directed'))
) PARTITION BY RANGE (id);
CREATE TABLE dispatcher.events_default PARTITION OF dispatcher.events DEFAULT;

CREATE TABLE dispatcher.idempotency_keys (
  environment_id text NOT NULL,
  key text NOT NULL CONSTRAINT "idempotency_key must be 1 to 255 bytes" CHECK (octet_length(key) BETWEEN 1 AND 255),
  event_id bigint NOT NULL,
  PRIMARY KEY (environment_id, key)
);
CREATE INDEX idempotency_keys_event ON dispatcher.idempotency_keys (event_id);

-- Rows live for milliseconds. `endpoint_id` set: a directed row, owed to that endpoint whatever it
-- subscribes to; `delivery_id` set: under that delivery's name, after `attempt` attempts.
CREATE TABLE dispatcher.inbox (
  id bigint PRIMARY KEY,                   -- the event's own for a plain row
  event_id bigint NOT NULL,
  environment_id text NOT NULL,
  type text NOT NULL,
  endpoint_id uuid,
  delivery_id bigint,
  attempt smallint NOT NULL DEFAULT 0,
  after_endpoint uuid                      -- a huge fan-out got this far
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE dispatcher.quarantine (
  id bigint PRIMARY KEY,                   -- the inbox row's
  event_id bigint NOT NULL,
  environment_id text NOT NULL,
  type text NOT NULL,
  endpoint_id uuid,
  delivery_id bigint,
  attempt smallint NOT NULL,
  after_endpoint uuid,
  reason text NOT NULL,                    -- a stable word
  detail text NOT NULL,
  quarantined_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX quarantine_environment ON dispatcher.quarantine (environment_id, id);

-- A repeated key inserts nothing. ON CONFLICT waits for the first one's commit.
CREATE FUNCTION dispatcher.event_key() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO dispatcher.idempotency_keys (environment_id, key, event_id)
  VALUES (NEW.environment_id, NEW.idempotency_key, NEW.id) ON CONFLICT DO NOTHING;
  RETURN CASE WHEN FOUND THEN NEW END;
END $$;
CREATE TRIGGER event_key BEFORE INSERT ON dispatcher.events
  FOR EACH ROW WHEN (NEW.idempotency_key IS NOT NULL) EXECUTE FUNCTION dispatcher.event_key();

-- Set-wise, once a statement: what a row CHECK can not see, the inbox rows, the wake-up.
CREATE FUNCTION dispatcher.events_inserted() RETURNS trigger
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
  INSERT INTO dispatcher.inbox (id, event_id, environment_id, type)
  SELECT id, id, environment_id, type FROM new_rows WHERE source <> 'directed';
  IF FOUND THEN
    PERFORM dispatcher.wake();
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER events_inserted AFTER INSERT ON dispatcher.events REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION dispatcher.events_inserted();

-- The name of the event: of a new one, or of the one the same key named before.
CREATE FUNCTION dispatcher.emit(type text, data json, environment_id text DEFAULT 'env_default', idempotency_key text DEFAULT NULL)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  event_id bigint;
BEGIN
  INSERT INTO dispatcher.events (environment_id, type, data, idempotency_key)
  VALUES (coalesce(emit.environment_id, 'env_default'), emit.type, emit.data, emit.idempotency_key)
  RETURNING id INTO event_id;
  IF event_id IS NULL THEN
    SELECT k.event_id INTO event_id FROM dispatcher.idempotency_keys k
    WHERE k.environment_id = coalesce(emit.environment_id, 'env_default') AND k.key = emit.idempotency_key;
  END IF;
  RETURN 'evt_' || event_id;
END $$;
