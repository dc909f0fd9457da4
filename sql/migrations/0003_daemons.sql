-- Who sends what: daemons with a heartbeat, and 64 shards each owned by one of them.

CREATE TABLE dispatcher.daemons (
  id bigint PRIMARY KEY,                   -- chosen at random by each lease session
  lock_key integer NOT NULL,               -- its advisory lock: (1684632432, lock_key)
  renewed_at timestamptz NOT NULL,
  confirmed_version bigint NOT NULL DEFAULT 0  -- the endpoint_version it has acted on
) WITH (fillfactor = 50);

CREATE TABLE dispatcher.shards (
  shard smallint PRIMARY KEY CHECK (shard BETWEEN 0 AND 63),
  owner bigint,
  epoch bigint NOT NULL DEFAULT 0          -- how often it changed hands
) WITH (fillfactor = 50);
INSERT INTO dispatcher.shards (shard) SELECT generate_series(0, 63);

-- Two promises of the daemons to the emitters, in milliseconds since 1970. Sequences, because
-- setval is seen at once and takes no row lock: an emitter never waits for another.
CREATE SEQUENCE dispatcher.poll_until MINVALUE 0 START 0;     -- "until then I look by myself: do not notify"
CREATE SEQUENCE dispatcher.listen_until MINVALUE 0 START 0;   -- "until then somebody hears a notification"
SELECT setval('dispatcher.poll_until', 0), setval('dispatcher.listen_until', 0);

CREATE FUNCTION dispatcher.now_ms() RETURNS bigint LANGUAGE sql VOLATILE AS $$
  SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint
$$;

-- Notify only when somebody listens and nobody promises to look anyway: a notification makes
-- commits queue for one lock. A promise too far ahead (a clock was set back) is void.
CREATE FUNCTION dispatcher.wake() RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  now_ms bigint := (extract(epoch FROM clock_timestamp()) * 1000)::bigint;
  listening bigint := (SELECT last_value FROM dispatcher.listen_until);
  polling bigint := (SELECT last_value FROM dispatcher.poll_until);
BEGIN
  IF listening > now_ms AND listening <= now_ms + 60000
     AND (polling <= now_ms OR polling > now_ms + 5000) THEN
    PERFORM pg_notify('dispatcher', '');
  END IF;
END $$;
