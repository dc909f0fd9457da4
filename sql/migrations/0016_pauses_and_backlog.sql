-- `delivery.paused` pauses once, and what is pending is measured.

ALTER TABLE dispatcher.settings
  ADD COLUMN paused_in text,             -- the incarnation in which `delivery.paused` was applied; NULL: none since a daemon ran without it
  ADD COLUMN resumed_at timestamptz;     -- when sending was last resumed for all environments

CREATE INDEX environments_paused ON dispatcher.environments (id) WHERE paused_at IS NOT NULL;
CREATE INDEX endpoints_disabled ON dispatcher.endpoints (id) WHERE NOT active AND deleted_at IS NULL;

-- Names this very database: a dump that is restored, a copy, and a server that was restored to a
-- point in time have another name. What the role may not read is left out of it.
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

-- Pending deliveries by environment and state: held (the endpoint is disabled or rests, or sending is
-- paused), due (now, those under way included), scheduled (for later). `oldest`: since when the oldest
-- has been due. Looks at `most` rows of each kind at most, however many there are; `more`: the look
-- ended there. ORDER BY without sorts makes the planner take the index whatever statistics it has.
CREATE FUNCTION dispatcher.pending_by_state(most integer)
RETURNS TABLE (environment_id text, state text, deliveries bigint, oldest timestamptz, more boolean)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET enable_bitmapscan = off SET enable_sort = off SET enable_incremental_sort = off AS $$
WITH RECURSIVE sending AS MATERIALIZED (
  SELECT paused_at IS NULL AS allowed FROM dispatcher.settings
), held AS MATERIALIZED (
  SELECT e.id, e.environment_id FROM (
    SELECT id FROM dispatcher.endpoints WHERE NOT active AND deleted_at IS NULL
    UNION
    SELECT e.id FROM dispatcher.environments p JOIN dispatcher.endpoints e ON e.environment_id = p.id WHERE p.paused_at IS NOT NULL
    UNION
    SELECT endpoint_id FROM dispatcher.endpoint_health WHERE paused_until > now()
  ) AS h JOIN dispatcher.endpoints e USING (id)
  WHERE (SELECT allowed FROM sending)
), held_rows AS MATERIALIZED (
  (SELECT h.environment_id FROM held h CROSS JOIN LATERAL (
     SELECT 1 FROM dispatcher.deliveries d WHERE d.endpoint_id = h.id ORDER BY d.id + 0 LIMIT most) AS rows
   LIMIT most)
  UNION ALL
  (SELECT d.environment_id FROM (
     SELECT id, environment_id FROM dispatcher.deliveries WHERE NOT (SELECT allowed FROM sending) ORDER BY id LIMIT most) AS d)
), shards AS MATERIALIZED (
  SELECT s::smallint AS shard FROM generate_series(0, 63) AS s WHERE (SELECT allowed FROM sending)
), due_rows AS MATERIALIZED (
  SELECT d.* FROM shards s CROSS JOIN LATERAL (
    SELECT d.endpoint_id, d.environment_id, d.next_at FROM dispatcher.deliveries d
    WHERE d.shard = s.shard AND NOT d.parked AND d.next_at <= now() ORDER BY d.next_at LIMIT most) AS d
  LIMIT most
), first_rows AS MATERIALIZED (              -- the oldest of each shard, if due_rows does not reach them
  SELECT d.* FROM shards s CROSS JOIN LATERAL (
    SELECT d.endpoint_id, d.environment_id, d.next_at FROM dispatcher.deliveries d
    WHERE d.shard = s.shard AND NOT d.parked AND d.next_at <= now() ORDER BY d.next_at LIMIT 20) AS d
), later_rows AS MATERIALIZED (
  SELECT d.* FROM shards s CROSS JOIN LATERAL (
    SELECT d.endpoint_id, d.environment_id, d.next_at FROM dispatcher.deliveries d
    WHERE d.shard = s.shard AND NOT d.parked AND d.next_at > now() ORDER BY d.next_at LIMIT most) AS d
  LIMIT most
), hop AS (                                  -- from one endpoint with parked deliveries to the next
  (SELECT d.endpoint_id, 1 AS number FROM dispatcher.deliveries d
   WHERE d.parked AND (SELECT allowed FROM sending) ORDER BY d.endpoint_id, d.shard, d.next_at LIMIT 1)
  UNION ALL
  SELECT (SELECT d.endpoint_id FROM dispatcher.deliveries d
          WHERE d.parked AND d.endpoint_id > hop.endpoint_id ORDER BY d.endpoint_id, d.shard, d.next_at LIMIT 1), hop.number + 1
  FROM hop WHERE hop.endpoint_id IS NOT NULL AND hop.number < 2000
), parked_rows AS MATERIALIZED (             -- more is due to their endpoints than memory has room for
  SELECT d.* FROM hop CROSS JOIN LATERAL (
    SELECT d.environment_id, d.next_at FROM dispatcher.deliveries d
    WHERE d.parked AND d.endpoint_id = hop.endpoint_id ORDER BY d.shard, d.next_at LIMIT most) AS d
  WHERE NOT EXISTS (SELECT 1 FROM held h WHERE h.id = hop.endpoint_id)
  LIMIT most
), first_parked_rows AS MATERIALIZED (       -- that of each endpoint which was made first
  SELECT hop.endpoint_id, d.environment_id, d.next_at FROM hop CROSS JOIN LATERAL (
    SELECT d.environment_id, d.next_at FROM dispatcher.deliveries d
    WHERE d.endpoint_id = hop.endpoint_id ORDER BY d.id + 0 LIMIT 1) AS d
  WHERE d.next_at <= now()
), counted AS (
  SELECT h.environment_id, 'held' AS state, 1 AS deliveries, NULL::timestamptz AS due FROM held_rows h
  UNION ALL
  SELECT d.environment_id, 'due', 1, d.next_at FROM due_rows d WHERE NOT EXISTS (SELECT 1 FROM held h WHERE h.id = d.endpoint_id)
  UNION ALL
  SELECT d.environment_id, 'due', 0, d.next_at FROM first_rows d WHERE NOT EXISTS (SELECT 1 FROM held h WHERE h.id = d.endpoint_id)
  UNION ALL
  SELECT d.environment_id, 'due', 0, d.next_at FROM first_parked_rows d WHERE NOT EXISTS (SELECT 1 FROM held h WHERE h.id = d.endpoint_id)
  UNION ALL
  SELECT p.environment_id, CASE WHEN p.next_at > now() THEN 'scheduled' ELSE 'due' END, 1, p.next_at FROM parked_rows p
  UNION ALL
  SELECT l.environment_id, 'scheduled', 1, NULL FROM later_rows l WHERE NOT EXISTS (SELECT 1 FROM held h WHERE h.id = l.endpoint_id)
), full_up AS MATERIALIZED (
  SELECT 'held' AS state FROM held_rows HAVING count(*) >= most
  UNION SELECT 'due' FROM due_rows HAVING count(*) >= most
  UNION SELECT 'due' FROM parked_rows HAVING count(*) >= most
  UNION SELECT 'due' FROM hop WHERE hop.number >= 2000
  UNION SELECT 'scheduled' FROM later_rows HAVING count(*) >= most
)
SELECT c.environment_id, c.state, sum(c.deliveries)::bigint, min(c.due) FILTER (WHERE c.state = 'due'),
       c.state IN (SELECT f.state FROM full_up f)
FROM counted c GROUP BY c.environment_id, c.state
$$;

-- The same of one environment; `oldest` and what is due are as far as was looked.
CREATE FUNCTION dispatcher.pending_of_environment(environment text, most integer)
RETURNS TABLE (state text, deliveries bigint, oldest timestamptz, more boolean)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET enable_bitmapscan = off SET enable_sort = off SET enable_incremental_sort = off AS $$
WITH sending AS MATERIALIZED (
  SELECT s.paused_at IS NULL AND v.paused_at IS NULL AS allowed
  FROM dispatcher.settings s CROSS JOIN dispatcher.environments v WHERE v.id = environment
), endpoints AS MATERIALIZED (
  SELECT e.id, NOT e.active OR NOT (SELECT allowed FROM sending) OR EXISTS (
           SELECT 1 FROM dispatcher.endpoint_health h WHERE h.endpoint_id = e.id AND h.paused_until > now()) AS held
  FROM dispatcher.endpoints e WHERE e.environment_id = environment AND e.deleted_at IS NULL
), looked AS MATERIALIZED (
  SELECT CASE WHEN e.held THEN 'held' WHEN d.next_at > now() THEN 'scheduled' ELSE 'due' END AS state, d.next_at
  FROM endpoints e CROSS JOIN LATERAL (
    SELECT d.next_at FROM dispatcher.deliveries d WHERE d.endpoint_id = e.id ORDER BY d.id + 0 LIMIT most) AS d
  LIMIT 3 * most
)
SELECT l.state, least(count(*), most), min(l.next_at) FILTER (WHERE l.state = 'due'),
       count(*) >= most OR (SELECT count(*) FROM looked) >= 3 * most
FROM looked l GROUP BY l.state
$$;

REVOKE ALL ON FUNCTION dispatcher.incarnation() FROM PUBLIC;
REVOKE ALL ON FUNCTION dispatcher.pending_by_state(integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION dispatcher.pending_of_environment(text, integer) FROM PUBLIC;
