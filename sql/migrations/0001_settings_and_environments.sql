-- Ids that carry their time of creation, the settings row, and the environments.
--
-- An id is a bigint: 41 bits of milliseconds since 2024-01-01 UTC, then 22 bits of a sequence. Only the
-- database makes ids, so one number is the identity, the creation time and the partition key at once.
-- Ids grow in the order in which they are drawn, except when the 22 bits run over within one
-- millisecond: once in four million ids.
--
-- Every file of this directory runs once, in the order of the numbers. An applied file is never edited.

CREATE SCHEMA IF NOT EXISTS dispatcher;

-- No CACHE. Otherwise a session that keeps numbers for later would draw ids out of the order of time,
-- and after 4 million ids it could draw the id of another session. The producer's INSERT would fail.
CREATE SEQUENCE dispatcher.id_seq;
COMMENT ON SEQUENCE dispatcher.id_seq IS 'The lower 22 bits of ids. Only dispatcher.next_id() draws from it.';

CREATE FUNCTION dispatcher.next_id() RETURNS bigint LANGUAGE sql VOLATILE
RETURN (floor(date_part('epoch', clock_timestamp()) * 1000)::bigint - 1704067200000) << 22
     | (nextval('dispatcher.id_seq') & 4194303);
COMMENT ON FUNCTION dispatcher.next_id() IS 'Draw the next id.';

-- SECURITY DEFINER, because a producer's INSERT evaluates the default, and producers must not have a
-- right on the sequence. It has no SET search_path, because it names nothing without its schema, and
-- the setting would double its time.
CREATE FUNCTION dispatcher.event_id() RETURNS bigint LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $$
BEGIN
  RETURN dispatcher.next_id();
END $$;
COMMENT ON FUNCTION dispatcher.event_id() IS 'Draw an id for an event. The default of dispatcher.events.id.';

-- The functions below have a RETURN body, which is parsed here. A body in quotes would be parsed at each
-- call with the caller's search_path: an operator in the schema public could then run with the rights of
-- the daemon, or of an administrator who reads a view. Functions that name tables have quotes and SET
-- search_path instead: RETURN would bind them to columns, whose type no later migration could change.
CREATE FUNCTION dispatcher.id_floor(moment timestamptz) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ((extract(epoch FROM moment) * 1000)::bigint - 1704067200000) << 22;
COMMENT ON FUNCTION dispatcher.id_floor(timestamptz) IS 'Return the smallest id of a moment.';

CREATE FUNCTION dispatcher.id_time(id bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN to_timestamp(((id >> 22) + 1704067200000) / 1000.0);
COMMENT ON FUNCTION dispatcher.id_time(bigint) IS 'Return the time at which an id was made.';

CREATE FUNCTION dispatcher.now_ms() RETURNS bigint LANGUAGE sql VOLATILE
RETURN floor(date_part('epoch', clock_timestamp()) * 1000)::bigint;
COMMENT ON FUNCTION dispatcher.now_ms() IS 'Return the current time in milliseconds since 1970.';

CREATE TABLE dispatcher.settings (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  max_data integer NOT NULL DEFAULT 262144 CHECK (max_data BETWEEN 1 AND 8388608),  -- bytes of an event's data
  key_check bytea,                         -- identifies the encryption key without a hint about its value
  paused_at timestamptz,                   -- since when sending is paused for all environments
  notify boolean NOT NULL DEFAULT true,    -- false: producers never notify, so that they can PREPARE TRANSACTION
  paused_in text,                          -- the incarnation() in which `delivery.paused` was applied; NULL: not applied,
                                           -- or a daemon has run without that setting since
  resumed_at timestamptz                   -- when sending was last resumed for all environments
);
INSERT INTO dispatcher.settings DEFAULT VALUES;
COMMENT ON TABLE dispatcher.settings IS
  'One row: what the triggers and every daemon must agree on. "dispatcher migrate" writes the limits from the'
  ' configuration, the daemon the key check and its configured pause, the API the pauses that people ask for.';

CREATE TABLE dispatcher.environments (
  id text PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]{1,64}$'),
  name text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  paused_at timestamptz,                   -- since when its sending is paused
  position bigint NOT NULL DEFAULT dispatcher.next_id()  -- the order of lists, because ids have none
);
CREATE UNIQUE INDEX environments_position ON dispatcher.environments (position);
CREATE INDEX environments_paused ON dispatcher.environments (id) WHERE paused_at IS NOT NULL;
INSERT INTO dispatcher.environments (id, name) VALUES ('env_default', 'Default');
COMMENT ON TABLE dispatcher.environments IS
  'The tenants. The API writes it. The trigger on events reads it, to refuse events of unknown environments.';

-- A daemon applies `delivery.paused` once to each database. A restored dump, a copy, and a server that
-- was restored to a point in time must be paused again, so they must have another name.
CREATE FUNCTION dispatcher.incarnation() RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  cluster text := '-';
  timeline text := '-';
BEGIN
  BEGIN
    SELECT system_identifier::text INTO cluster FROM pg_control_system();
  EXCEPTION WHEN insufficient_privilege THEN
    NULL;
  END;
  BEGIN
    timeline := left(pg_walfile_name(pg_current_wal_lsn()), 8);
  EXCEPTION WHEN insufficient_privilege THEN
    NULL;
  END;
  RETURN concat_ws('/', cluster, timeline,
                   (SELECT oid FROM pg_database WHERE datname = current_database()),
                   'dispatcher.settings'::regclass::oid);
END $$;
COMMENT ON FUNCTION dispatcher.incarnation() IS
  'Return a name of this very database. A restored or copied one has another name. A part that the role may not'
  ' read is a dash.';
