-- $1 how far to look, in ended deliveries and in events  $2 how many to make  $3 wait with so many in the
-- inbox  $4 or with so many pending
--
-- The next of one recovery: found, put into the inbox and noted in one statement, so that no crash can
-- separate them, and seen at one moment, so that nothing on its way from table to table is overlooked.
-- An event never owed gets the name of its delivery here: with one, the fan-out keeps it for an endpoint
-- that is disabled meanwhile. A row of the answer is about a recovery that was looked at.
WITH due AS MATERIALIZED (
  SELECT * FROM dispatcher.recoveries WHERE state = 'RUNNING' AND next_at <= now()
  ORDER BY next_at LIMIT 1 FOR UPDATE SKIP LOCKED
), room AS MATERIALIZED (
  SELECT e.deleted_at IS NOT NULL AS deleted, e.active,
         (SELECT count(*) FROM (SELECT 1 FROM dispatcher.inbox i WHERE i.endpoint_id = e.id LIMIT $3) AS few) < $3 AS inbox,
         dispatcher.pending_of(ARRAY[e.id], $4) < $4 AS pending
  FROM dispatcher.endpoints e WHERE e.id = (SELECT endpoint_id FROM due)
), found AS MATERIALIZED (
  SELECT f.* FROM due d, room o, LATERAL dispatcher.recoverable(d.environment_id, d.endpoint_id, d.position, dispatcher.id_floor(d.until), d.missed, $1) f
  WHERE o.active AND NOT o.deleted AND o.inbox AND o.pending
), chosen AS MATERIALIZED (                  -- of a rate, a quarter of a second's
  SELECT * FROM found WHERE event_id IS NOT NULL
  ORDER BY place LIMIT (SELECT least($2, ceil(rate / 4.0)::integer) FROM due)
), made AS (
  INSERT INTO dispatcher.inbox (id, event_id, environment_id, type, endpoint_id, delivery_id, attempt)
  SELECT dispatcher.next_id(), c.event_id, d.environment_id, c.type, d.endpoint_id, coalesce(c.delivery_id, dispatcher.next_id()), c.attempt
  FROM chosen c, due d ORDER BY c.place
  RETURNING 1
), came AS MATERIALIZED (
  SELECT (SELECT count(*) FROM made) AS made,
         CASE WHEN (SELECT count(*) FROM chosen) < (SELECT count(event_id) FROM found) THEN (SELECT max(place) FROM chosen)
              ELSE (SELECT max(place) FROM found WHERE event_id IS NULL) END AS position
), moved AS (
  UPDATE dispatcher.recoveries r
  SET position = greatest(r.position, c.position), made = r.made + c.made, failures = 0, error = NULL,
      state = CASE WHEN o.deleted THEN 'CANCELLED' WHEN c.position >= dispatcher.id_floor(d.until) THEN 'DONE' ELSE 'RUNNING' END,
      finished_at = CASE WHEN o.deleted OR c.position >= dispatcher.id_floor(d.until) THEN clock_timestamp() END,
      next_at = CASE
        WHEN NOT o.active THEN clock_timestamp() + interval '2 s'
        WHEN NOT o.pending THEN clock_timestamp() + interval '500 ms'
        WHEN c.position IS NULL OR c.position <= d.position THEN clock_timestamp() + interval '100 ms'
        WHEN d.rate IS NOT NULL THEN greatest(d.next_at, clock_timestamp() - interval '250 ms') + make_interval(secs => c.made::float8 / d.rate)
        ELSE clock_timestamp() END
  FROM due d, room o, came c WHERE r.id = d.id
  RETURNING r.id, r.state, c.made
)
SELECT m.id, m.state, m.made, (SELECT dispatcher.wake() WHERE m.made > 0) FROM moved m
