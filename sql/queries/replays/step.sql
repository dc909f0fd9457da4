-- $1 ended deliveries and events to read  $2 most rows to make  $3 wait with this many rows in the
-- inbox  $4 wait with this many pending deliveries  $5 replay  $6 false: make none
--
-- Run one step of a replay. One statement finds the deliveries, puts them into the inbox and
-- moves the position. It reads one snapshot, so that no row is missed on its way from table to table.
-- claim.sql has locked the replay in this transaction, and if it makes some, lock_all.sql all deliveries.
-- So the snapshot shows what people changed before, and they find what the step makes.
--
-- An event without a delivery gets a delivery id here. Because of that id the fan-out keeps it even
-- if the endpoint is disabled by then. A returned row is about the replay that was read. FOR SHARE: see
-- endpoints/lock.sql.
WITH due AS MATERIALIZED (
  SELECT * FROM dispatcher.replays WHERE id = $5
), room AS MATERIALIZED (
  SELECT e.deleted_at IS NOT NULL AS deleted, e.active,
         (SELECT count(*) FROM (SELECT 1 FROM dispatcher.inbox_directed i WHERE i.endpoint_id = e.id LIMIT $3) AS counted) < $3 AS inbox,
         dispatcher.count_pending(ARRAY[e.id], $4) < $4 AS pending
  FROM dispatcher.endpoints e WHERE e.id = (SELECT endpoint_id FROM due) FOR SHARE OF e
), candidates AS MATERIALIZED (
  SELECT f.* FROM due d, room o, LATERAL dispatcher.replayable(d.environment_id, d.endpoint_id, d.position, dispatcher.id_floor(d.until), d.missed, $1) f
  WHERE o.active AND NOT o.deleted AND o.inbox AND o.pending AND $6
), selected AS MATERIALIZED (                  -- with a rate: as much as a quarter of a second allows
  SELECT * FROM candidates WHERE event_id IS NOT NULL
  ORDER BY place LIMIT (SELECT least($2, ceil(rate / 4.0)::integer) FROM due)
), queued AS (
  INSERT INTO dispatcher.inbox_directed (id, event_id, environment_id, type, endpoint_id, delivery_id, attempt)
  SELECT dispatcher.next_id(), c.event_id, d.environment_id, c.type, d.endpoint_id, coalesce(c.delivery_id, dispatcher.next_id()), c.attempt
  FROM selected c, due d ORDER BY c.place
  RETURNING 1
), progress AS MATERIALIZED (
  SELECT (SELECT count(*) FROM queued) AS made,
         CASE WHEN (SELECT count(*) FROM selected) < (SELECT count(event_id) FROM candidates) THEN (SELECT max(place) FROM selected)
              ELSE (SELECT max(place) FROM candidates WHERE event_id IS NULL) END AS position
), moved AS (
  UPDATE dispatcher.replays r
  SET position = greatest(r.position, c.position), made = r.made + c.made, failures = 0, error = NULL,
      state = CASE WHEN o.deleted THEN 'CANCELLED' WHEN c.position >= dispatcher.id_floor(d.until) THEN 'DONE' ELSE 'RUNNING' END,
      finished_at = CASE WHEN o.deleted OR c.position >= dispatcher.id_floor(d.until) THEN clock_timestamp() END,
      next_at = CASE
        WHEN NOT o.active THEN clock_timestamp() + interval '2 s'
        WHEN NOT o.pending THEN clock_timestamp() + interval '500 ms'
        WHEN c.position IS NULL OR c.position <= d.position THEN clock_timestamp() + interval '100 ms'
        WHEN d.rate IS NOT NULL THEN greatest(d.next_at, clock_timestamp() - interval '250 ms') + make_interval(secs => c.made::float8 / d.rate)
        ELSE clock_timestamp() END
  FROM due d, room o, progress c WHERE r.id = d.id
  RETURNING r.state, c.made
)
SELECT m.state, m.made, (SELECT dispatcher.wake() WHERE m.made > 0) FROM moved m
