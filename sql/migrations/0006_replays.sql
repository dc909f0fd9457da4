-- Replays: deliveries of one endpoint that are sent again, or for the first time, from history at a rate.
-- Bulk actions: retries or cancellations of all deliveries that a filter selects, of any endpoints.

CREATE TABLE dispatcher.replays (
  id bigint PRIMARY KEY DEFAULT dispatcher.next_id(),
  environment_id text NOT NULL,
  endpoint_id uuid NOT NULL REFERENCES dispatcher.endpoints ON DELETE CASCADE,
  since timestamptz NOT NULL,
  until timestamptz NOT NULL,
  missed boolean NOT NULL,                 -- also events for which the endpoint had no delivery
  rate integer CHECK (rate > 0),           -- deliveries a second; NULL: as fast as possible
  state text NOT NULL DEFAULT 'RUNNING' CONSTRAINT replays_state_check CHECK (state IN ('RUNNING', 'DONE', 'CANCELLED', 'FAILED')),
  total bigint,                            -- counted at the start; NULL: too many to count
  made bigint NOT NULL DEFAULT 0,          -- deliveries so far
  position bigint NOT NULL,                -- ids up to this one have been read
  next_at timestamptz NOT NULL DEFAULT now(),  -- when its next step is due
  created_at timestamptz NOT NULL DEFAULT now(),
  finished_at timestamptz,
  failures integer NOT NULL DEFAULT 0,     -- steps that failed since the last one that did not
  error text                               -- why the last of them failed
);
CREATE INDEX replays_endpoint ON dispatcher.replays (endpoint_id, id);
CREATE INDEX replays_running ON dispatcher.replays (next_at) WHERE state = 'RUNNING';
CREATE INDEX replays_turns ON dispatcher.replays (environment_id, next_at) WHERE state = 'RUNNING';  -- environments take turns
CREATE UNIQUE INDEX replays_one_at_a_time ON dispatcher.replays (endpoint_id) WHERE state = 'RUNNING';
COMMENT ON TABLE dispatcher.replays IS
  'Replays, running and finished. The API starts and cancels them. A daemon does the next due step: it writes directed'
  ' inbox rows and moves position on in one transaction, so that a replay survives restarts.';

CREATE FUNCTION dispatcher.attempts_since() RETURNS bigint LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT min(dispatcher.id_floor(to_date(right(c.relname, 8), 'YYYYMMDD')::timestamp AT TIME ZONE 'UTC'))
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
  WHERE i.inhparent = 'dispatcher.attempts'::regclass AND c.relname ~ '^attempts_\d{8}$'
$$;
COMMENT ON FUNCTION dispatcher.attempts_since() IS
  'Return the smallest id of the days of which all attempts are kept. Whether older events were delivered is not known.';

-- It reads at most `most` ended deliveries, `most` events, and 16 days. It never goes past an event that
-- waits for its fan-out, because such an event may still get a delivery.
--
-- Every query names a span of ids whose ends are known when it is planned. So only the partitions of those
-- days are locked. Otherwise a thousand days of history would exceed PostgreSQL's lock table. For the same
-- reason a later end of a delivery is searched in the 42 days after its span only. A delivery that a
-- person sent again after that may be sent once more.
--
-- The settings, and subqueries with LIMIT 1, make every query read an index in its order, whatever the
-- statistics say. The planner may turn EXISTS into a join of whole tables.
CREATE FUNCTION dispatcher.replayable(for_environment text, for_endpoint uuid, low bigint, high bigint, with_missed boolean, most integer)
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
  later := reach + 42 * day;
  earlier := start - 42 * day;
  reach := least(reach, (SELECT a.delivery_id FROM dispatcher.attempts a
    WHERE a.endpoint_id = for_endpoint AND a.state IS NOT NULL AND a.delivery_id > start AND a.delivery_id <= reach
      AND a.id > start AND a.id <= later
    ORDER BY a.delivery_id OFFSET most - 1 LIMIT 1));
  IF with_missed THEN
    reach := least(reach, (SELECT e.id FROM dispatcher.events e
      WHERE e.id > start AND e.id <= reach ORDER BY e.id OFFSET most - 1 LIMIT 1));
    reach := least(reach,
      (SELECT min(i.id) - 1 FROM ONLY dispatcher.inbox i
       WHERE i.id > start AND i.id <= reach AND i.environment_id = for_environment),
      (SELECT min(u.id) - 1 FROM dispatcher.unvalidated_events u
       WHERE u.id > start AND u.id <= reach AND u.environment_id = for_environment),
      (SELECT min(r.event_id) - 1 FROM dispatcher.replicated_events r
       WHERE r.event_id > start AND r.event_id <= reach AND r.environment_id = for_environment));
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
    SELECT n.delivery_id AS place, n.event_id, n.type, n.delivery_id, h.attempt
    FROM ended n CROSS JOIN LATERAL (         -- the highest number: one recorded late may be above that of the end
      SELECT max(a.attempt) AS attempt FROM dispatcher.attempts a
      WHERE a.delivery_id = n.delivery_id AND a.id > start AND a.id <= later OFFSET 0) h
    WHERE n.unhappily AND h.attempt < 30000
      AND (SELECT d.id FROM dispatcher.deliveries d WHERE d.id = n.delivery_id LIMIT 1) IS NULL
      AND (SELECT i.id FROM dispatcher.inbox_directed i
           WHERE i.endpoint_id = for_endpoint AND i.event_id = n.event_id AND i.delivery_id = n.delivery_id LIMIT 1) IS NULL
      AND (SELECT q.id FROM dispatcher.quarantine q WHERE q.id = n.delivery_id AND q.delivery_id = n.delivery_id) IS NULL
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
      AND (SELECT i.id FROM dispatcher.inbox_directed i WHERE i.endpoint_id = for_endpoint AND i.event_id = s.id LIMIT 1) IS NULL
      AND (SELECT q.id FROM dispatcher.quarantine q
           WHERE q.event_id = s.id AND (q.endpoint_id IS NULL OR q.endpoint_id = for_endpoint) LIMIT 1) IS NULL
  )
  SELECT f.place, f.event_id, f.type, f.delivery_id, f.attempt FROM failed f
  UNION ALL
  SELECT m.place, m.event_id, m.type, NULL::bigint, 0 FROM missed m
  UNION ALL
  SELECT reach, NULL::bigint, NULL::text, NULL::bigint, NULL::integer;
END $$;
COMMENT ON FUNCTION dispatcher.replayable(text, uuid, bigint, bigint, boolean, integer) IS
  'Return what one endpoint can be sent again, of ids above one and up to another: deliveries that failed or expired, and'
  ' with_missed also events without a delivery. A last row without an event says how far it has read.';

-- ── bulk actions ─────────────────────────────────────────────────────────────────────────────────────────

CREATE TABLE dispatcher.bulk_actions (
  id bigint PRIMARY KEY DEFAULT dispatcher.next_id(),
  environment_id text NOT NULL,
  action text NOT NULL CONSTRAINT bulk_actions_action_check CHECK (action IN ('retry', 'cancel')),
  criteria json NOT NULL,                  -- which deliveries: the fields of HistoryFilter in store/queries/history.py
  ids bigint[],                            -- the deliveries that a person selected; NULL: those of the criteria
  position bigint NOT NULL,                -- deliveries with ids from this one on have been read
  rate integer CHECK (rate > 0),           -- deliveries a second; NULL: as fast as possible
  state text NOT NULL DEFAULT 'RUNNING'
    CONSTRAINT bulk_actions_state_check CHECK (state IN ('RUNNING', 'DONE', 'CANCELLED', 'FAILED')),
  total bigint,                            -- counted at the start; NULL: too many to count
  made bigint NOT NULL DEFAULT 0,          -- deliveries that were changed so far
  skipped json NOT NULL DEFAULT '{}',      -- how many were not, by reason
  next_at timestamptz NOT NULL DEFAULT now(),  -- when its next step is due
  created_at timestamptz NOT NULL DEFAULT now(),
  finished_at timestamptz,
  failures integer NOT NULL DEFAULT 0,     -- steps that failed since the last one that did not
  error text                               -- why the last of them failed
);
CREATE INDEX bulk_actions_environment ON dispatcher.bulk_actions (environment_id, id);
CREATE INDEX bulk_actions_running ON dispatcher.bulk_actions (next_at) WHERE state = 'RUNNING';
COMMENT ON TABLE dispatcher.bulk_actions IS
  'Bulk actions, running and finished: retries or cancellations of all deliveries that a filter selects. People'
  ' start and cancel them. A daemon does the next due step, from the newest delivery to the oldest, in one transaction.';
