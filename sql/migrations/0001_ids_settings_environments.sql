-- Ids that carry their time, the settings row, and the environments.
--
-- An id is a bigint: 41 bits of milliseconds since 2024-01-01 UTC, 22 bits of sequence. It is made
-- by the database alone, so its time is the database's, a partition key and a creation time at once.
-- Ids drawn one after another grow, but for those of one millisecond in which the 22 bits run over:
-- once in four million.

CREATE SCHEMA IF NOT EXISTS dispatcher;

-- No CACHE: a session that kept numbers for later would draw ids in another order than that of time,
-- and in time the same number as another session in the same millisecond: a producer's INSERT would fail.
CREATE SEQUENCE dispatcher.id_seq;

CREATE FUNCTION dispatcher.next_id() RETURNS bigint LANGUAGE sql VOLATILE
RETURN (floor(date_part('epoch', clock_timestamp()) * 1000)::bigint - 1704067200000) << 22
     | (nextval('dispatcher.id_seq') & 4194303);

-- The default of an event's id. SECURITY DEFINER, as a producer's INSERT evaluates it and a producer
-- is to have no privilege on the sequence. It needs no search_path of its own, for it names nothing
-- that is not qualified; setting one would take twice as long as the rest.
CREATE FUNCTION dispatcher.event_id() RETURNS bigint LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $$
BEGIN
  RETURN dispatcher.next_id();
END $$;

-- The smallest id of a moment, and the moment of an id.
CREATE FUNCTION dispatcher.id_floor(moment timestamptz) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT ((extract(epoch FROM moment) * 1000)::bigint - 1704067200000) << 22
$$;

CREATE FUNCTION dispatcher.id_time(id bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT to_timestamp(((id >> 22) + 1704067200000) / 1000.0)
$$;

-- One row. `migrate` writes the limit from the configuration; the key check value says which key
-- encrypts the signing secrets without saying anything about it.
CREATE TABLE dispatcher.settings (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  max_data integer NOT NULL DEFAULT 262144 CHECK (max_data BETWEEN 1 AND 8388608),
  key_check bytea
);
INSERT INTO dispatcher.settings DEFAULT VALUES;

CREATE TABLE dispatcher.environments (
  id text PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]{1,64}$'),
  name text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO dispatcher.environments (id, name) VALUES ('env_default', 'Default');
