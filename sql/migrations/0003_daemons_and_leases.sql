-- Daemons with their heartbeats, the 64 shards that they share out, and when they poll or listen.

CREATE TABLE dispatcher.daemons (
  id bigint PRIMARY KEY,                   -- a random number for each session that holds a lease
  renewed_at timestamptz NOT NULL,
  confirmed_version bigint NOT NULL DEFAULT 0,  -- the endpoint_version that it has applied
  backend_pid integer,                     -- the server process of the session that renews the lease
  backend_start timestamptz,               -- NULL: its role may not see when its own session started
  renewals bigint NOT NULL DEFAULT 0       -- counted, so that others can time its silence by their own clocks
) WITH (fillfactor = 50);                  -- updated a few times a second; no indexed column changes
COMMENT ON TABLE dispatcher.daemons IS
  'One row a daemon: its lease. The daemon renews it; other daemons read it, and remove a dead daemon. The lease'
  ' names a server process, because every role can see whether that lives and none can imitate it. An advisory lock'
  ' could be held by every role that may connect.';

CREATE TABLE dispatcher.shards (
  shard smallint PRIMARY KEY CHECK (shard BETWEEN 0 AND 63),
  owner bigint,                            -- a daemon; NULL: free
  epoch bigint NOT NULL DEFAULT 0          -- how often it changed hands
) WITH (fillfactor = 50);
INSERT INTO dispatcher.shards (shard) SELECT generate_series(0, 63);
COMMENT ON TABLE dispatcher.shards IS
  'Which daemon sends which deliveries: every delivery has a shard, and only its owner sends it. Daemons claim,'
  ' release and take over shards. The fan-out locks its shard, so that no lost shard gets rows.';

-- Not columns of dispatcher.daemons: a heartbeat must never wait for a lock.
CREATE TABLE dispatcher.daemon_status (
  daemon_id bigint PRIMARY KEY,
  status json NOT NULL,
  published_at timestamptz NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE dispatcher.daemon_status IS
  'The status that each daemon publishes about itself. The API and the dashboard show it; sending does not need it.';

-- Two times in milliseconds since 1970. They are sequences, because setval is visible at once and locks
-- no row: producers, which read them, never wait for each other.
CREATE SEQUENCE dispatcher.poll_until MINVALUE 0 START 0;
CREATE SEQUENCE dispatcher.listen_until MINVALUE 0 START 0;
SELECT setval('dispatcher.poll_until', 0), setval('dispatcher.listen_until', 0);
COMMENT ON SEQUENCE dispatcher.poll_until IS
  'The end of the polling window. Until then some daemon polls the inbox, and producers need not notify. Daemons set it.';
COMMENT ON SEQUENCE dispatcher.listen_until IS
  'Until then some daemon listens to notifications. Daemons set it. Without a daemon, producers do not notify.';

-- A notification makes commits wait for one lock of the whole server, and a transaction that has
-- notified cannot be prepared. So it is sent only if a daemon listens, no daemon polls, and neither the
-- session (SET dispatcher.notify = off) nor the settings forbid it. A time too far ahead does not count:
-- a clock was set back.
--
-- Every INSERT of events asks. pg_sequence_last_value takes a fifth of the time of a SELECT. The server
-- inlines the two functions, and prepares their expressions again in every transaction, which takes longer
-- than to evaluate them. So they are short, and the second is asked only after the first.
CREATE FUNCTION dispatcher.daemon_listens() RETURNS boolean LANGUAGE sql VOLATILE
RETURN pg_sequence_last_value('dispatcher.listen_until') > date_part('epoch', clock_timestamp()) * 1000;
COMMENT ON FUNCTION dispatcher.daemon_listens() IS 'Return true if listen_until is in the future, however far.';

CREATE FUNCTION dispatcher.daemon_polls() RETURNS boolean LANGUAGE sql VOLATILE
RETURN abs(pg_sequence_last_value('dispatcher.poll_until') - date_part('epoch', clock_timestamp()) * 1000 - 2500) < 2500;
COMMENT ON FUNCTION dispatcher.daemon_polls() IS 'Return true if poll_until is within the next five seconds.';

CREATE FUNCTION dispatcher.must_notify() RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN dispatcher.daemon_listens()
     AND pg_sequence_last_value('dispatcher.listen_until') < dispatcher.now_ms() + 60000
     AND dispatcher.daemon_polls() IS NOT TRUE
     AND coalesce(lower(current_setting('dispatcher.notify', true)), '') <> ALL ('{off,false,no,0}'::text[])
     AND (SELECT notify FROM dispatcher.settings);
END $$;
COMMENT ON FUNCTION dispatcher.must_notify() IS
  'Return true if a daemon listens, none polls, and neither the session nor the settings forbid notifications.';

CREATE FUNCTION dispatcher.wake() RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF dispatcher.must_notify() THEN
    PERFORM pg_notify('dispatcher', '');
  END IF;
END $$;
COMMENT ON FUNCTION dispatcher.wake() IS
  'Notify the daemons on the channel "dispatcher" that the inbox has rows, if one of them waits for that.';
