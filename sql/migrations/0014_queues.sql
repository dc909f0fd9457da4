-- Nothing that one row holds stops the others: numbers of attempts with room, a reason for replays that
-- fail, locks that only the dispatcher can take, events that arrive without our triggers, and a switch for
-- notifications.

-- ── numbers of attempts ────────────────────────────────────────────────────────────────────────────
-- A delivery that is retried by hand again and again passed the end of smallint, and its result could not
-- be written: so a wider type, and a limit of 30,000 attempts for what people ask for.
DROP VIEW dispatcher.delivery_status, dispatcher.delivery_attempts;
ALTER TABLE dispatcher.inbox ALTER COLUMN attempt TYPE integer;
ALTER TABLE dispatcher.quarantine ALTER COLUMN attempt TYPE integer;
ALTER TABLE dispatcher.deliveries ALTER COLUMN attempt TYPE integer, ALTER COLUMN base TYPE integer;
ALTER TABLE dispatcher.attempts ALTER COLUMN attempt TYPE integer;

CREATE INDEX quarantine_event ON dispatcher.quarantine (event_id);

CREATE VIEW dispatcher.delivery_status AS
SELECT 'dlv_' || d.id AS delivery, 'evt_' || d.event_id AS event, d.type, d.environment_id, d.endpoint_id,
       'PENDING' AS state, d.attempt AS attempts, d.next_at AS next_attempt_at,
       last.status AS last_status, last.error AS last_error, dispatcher.id_time(d.id) AS created_at, NULL::timestamptz AS ended_at
FROM dispatcher.deliveries d
LEFT JOIN LATERAL (SELECT a.status, a.error FROM dispatcher.attempts a
                   WHERE a.delivery_id = d.id ORDER BY a.id DESC LIMIT 1) last ON true
UNION ALL
SELECT 'dlv_' || a.delivery_id, 'evt_' || a.event_id, a.type, a.environment_id, a.endpoint_id,
       a.state, a.attempt, NULL, a.status, a.error, dispatcher.id_time(a.delivery_id), dispatcher.id_time(a.id)
FROM dispatcher.attempts a
WHERE a.state IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM dispatcher.deliveries d WHERE d.id = a.delivery_id)
  AND NOT EXISTS (SELECT 1 FROM dispatcher.attempts b
                  WHERE b.delivery_id = a.delivery_id AND b.state IS NOT NULL AND b.id > a.id);

CREATE VIEW dispatcher.delivery_attempts AS
SELECT 'dlv_' || delivery_id AS delivery, 'evt_' || event_id AS event, type, environment_id, endpoint_id, attempt,
       started_at, outcome, status, duration_ms, error, next_at AS next_attempt_at, state
FROM dispatcher.attempts;

DROP FUNCTION dispatcher.recoverable(text, uuid, bigint, bigint, boolean, integer);
-- What one endpoint can be sent again, of the ids above `low`, to `high` at the most: its deliveries with
-- such ids that failed or expired, and events with such ids that were never owed to it. It looks as far as
-- `most` ended deliveries and `most` events reach, and 16 days; a last row, without an event, says how far
-- that was. Never beyond an event that waits to be fanned out: whether it is owed is not known yet.
--
-- Every query names a span of ids, as numbers by the time it is planned: so only the partitions of those days
-- are locked. With a thousand days of history all of them would be more than PostgreSQL's lock table holds.
-- Hence what became of a delivery is looked for in the 60 days after its span: beyond that, one that was
-- sent again by hand and delivered may be sent once more.
--
-- Whatever the statistics say, it reads in the order of an index what it looks at, and no more: thence the
-- settings; and subqueries with LIMIT 1, where EXISTS may become a join of whole tables.
CREATE FUNCTION dispatcher.recoverable(for_environment text, for_endpoint uuid, low bigint, high bigint, with_missed boolean, most integer)
RETURNS TABLE (place bigint, event_id bigint, type text, delivery_id bigint, attempt integer)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
#variable_conflict use_column
DECLARE
  day CONSTANT bigint := 86400000::bigint << 22;
  first bigint;                              -- no event is older, and every delivery is younger than its event
  start bigint;
  reach bigint;
  later bigint;
  earlier bigint;
BEGIN
  SELECT least((SELECT min(e.id) FROM dispatcher.events_default e),
               (SELECT min(dispatcher.id_floor(to_date(right(c.relname, 8), 'YYYYMMDD')::timestamp AT TIME ZONE 'UTC'))
                FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                WHERE i.inhparent = 'dispatcher.events'::regclass AND c.relname ~ '^events_\d{8}$'))
  INTO first;
  start := least(greatest(low, first - 1), high);
  reach := least(high, start + 16 * day);
  later := reach + 60 * day;
  earlier := start - 60 * day;
  reach := least(reach, (SELECT a.delivery_id FROM dispatcher.attempts a
    WHERE a.endpoint_id = for_endpoint AND a.state IS NOT NULL AND a.delivery_id > start AND a.delivery_id <= reach
      AND a.id > start AND a.id <= later
    ORDER BY a.delivery_id OFFSET most - 1 LIMIT 1));
  IF with_missed THEN
    reach := least(reach, (SELECT e.id FROM dispatcher.events e
      WHERE e.id > start AND e.id <= reach ORDER BY e.id OFFSET most - 1 LIMIT 1));
    reach := least(reach,
      (SELECT min(i.id) - 1 FROM dispatcher.inbox i
       WHERE i.id > start AND i.id <= reach AND i.endpoint_id IS NULL AND i.environment_id = for_environment),
      (SELECT min(u.id) - 1 FROM dispatcher.unexamined u
       WHERE u.id > start AND u.id <= reach AND u.environment_id = for_environment));
  END IF;
  RETURN QUERY
  WITH ended AS MATERIALIZED (               -- a delivery that was sent again has ended more than once
    SELECT DISTINCT ON (a.delivery_id) a.delivery_id, a.event_id, a.type, a.attempt,
           a.state = 'FAILED' OR (a.state = 'CANCELLED' AND a.error LIKE 'expired:%') AS unhappily
    FROM dispatcher.attempts a
    WHERE a.endpoint_id = for_endpoint AND a.state IS NOT NULL
      AND a.delivery_id > start AND a.delivery_id <= reach AND a.id > start AND a.id <= later
    ORDER BY a.delivery_id, a.id DESC
  ), failed AS (
    SELECT n.delivery_id AS place, n.event_id, n.type, n.delivery_id, n.attempt
    FROM ended n
    WHERE n.unhappily AND n.attempt < 30000
      AND (SELECT d.id FROM dispatcher.deliveries d WHERE d.id = n.delivery_id LIMIT 1) IS NULL
      AND (SELECT i.id FROM dispatcher.inbox i
           WHERE i.endpoint_id = for_endpoint AND i.event_id = n.event_id AND i.delivery_id = n.delivery_id LIMIT 1) IS NULL
      AND (SELECT e.id FROM dispatcher.events e
           WHERE e.id = n.event_id AND e.id > earlier AND e.id <= reach LIMIT 1) IS NOT NULL
  ), seen AS MATERIALIZED (
    SELECT e.id, e.type FROM dispatcher.events e
    WHERE with_missed AND e.id > greatest(start, (SELECT dispatcher.attempts_since()) - 1) AND e.id > start AND e.id <= reach
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
           WHERE a.event_id = s.id AND a.endpoint_id = for_endpoint AND a.state IS NOT NULL AND a.id > s.id
             AND a.id > start AND a.id <= later LIMIT 1) IS NULL
      AND (SELECT i.id FROM dispatcher.inbox i WHERE i.endpoint_id = for_endpoint AND i.event_id = s.id LIMIT 1) IS NULL
      AND (SELECT q.id FROM dispatcher.quarantine q
           WHERE q.event_id = s.id AND (q.endpoint_id IS NULL OR q.endpoint_id = for_endpoint) LIMIT 1) IS NULL
  )
  SELECT f.place, f.event_id, f.type, f.delivery_id, f.attempt FROM failed f
  UNION ALL
  SELECT m.place, m.event_id, m.type, NULL::bigint, 0 FROM missed m
  UNION ALL
  SELECT reach, NULL::bigint, NULL::text, NULL::bigint, NULL::integer;
END $$;

-- ── replays ────────────────────────────────────────────────────────────────────────────────────────
ALTER TABLE dispatcher.recoveries
  ADD COLUMN failures integer NOT NULL DEFAULT 0,  -- steps that failed since the last one that did not
  ADD COLUMN error text,                           -- why the last of them failed
  DROP CONSTRAINT recoveries_state_check,
  ADD CONSTRAINT recoveries_state_check CHECK (state IN ('RUNNING', 'DONE', 'CANCELLED', 'FAILED'));

-- ── events past our triggers ───────────────────────────────────────────────────────────────────────
-- What is inserted with session_replication_role = replica (logical replication, and tools that copy
-- databases) fires no ordinary trigger: such events were visible, and never sent. This trigger fires for them
-- alone. It does not write to the inbox: where the whole schema is replicated the inbox row comes by itself,
-- and a second one would stop the replication. Maintenance decides some seconds later. A trigger for each
-- row, as logical replication fires no others.
CREATE TABLE dispatcher.replicated_events (
  event_id bigint PRIMARY KEY,
  environment_id text NOT NULL,
  type text NOT NULL,
  arrived_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE FUNCTION dispatcher.event_replicated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- Asked again, as ENABLE TRIGGER ALL makes it fire for every insert.
  IF current_setting('session_replication_role') = 'replica' THEN
    INSERT INTO dispatcher.replicated_events (event_id, environment_id, type)
    VALUES (NEW.id, NEW.environment_id, NEW.type) ON CONFLICT DO NOTHING;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER event_replicated AFTER INSERT ON dispatcher.events
  FOR EACH ROW WHEN (NEW.source <> 'directed') EXECUTE FUNCTION dispatcher.event_replicated();
ALTER TABLE dispatcher.events ENABLE REPLICA TRIGGER event_replicated;

-- ── notifications ──────────────────────────────────────────────────────────────────────────────────
ALTER TABLE dispatcher.settings ADD COLUMN notify boolean NOT NULL DEFAULT true;

-- As before, but nobody is notified where the settings or the session say so. A transaction that has
-- notified cannot be prepared: PREPARE TRANSACTION fails, and the application loses its whole transaction.
CREATE OR REPLACE FUNCTION dispatcher.wake() RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  now_ms bigint := (extract(epoch FROM clock_timestamp()) * 1000)::bigint;
  listening bigint := (SELECT last_value FROM dispatcher.listen_until);
  polling bigint := (SELECT last_value FROM dispatcher.poll_until);
BEGIN
  IF listening > now_ms AND listening <= now_ms + 60000
     AND (polling <= now_ms OR polling > now_ms + 5000)
     AND coalesce(lower(current_setting('dispatcher.notify', true)), '') NOT IN ('off', 'false', 'no', '0')
     AND (SELECT notify FROM dispatcher.settings) THEN
    PERFORM pg_notify('dispatcher', '');
  END IF;
END $$;

REVOKE ALL ON ALL TABLES IN SCHEMA dispatcher FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA dispatcher FROM PUBLIC;
