-- $1 environment  $2 event ids  $3 rows to count, of each event and each kind  $4 attempts with ids
-- above this one  $5 attempts with ids up to this one, or NULL
--
-- Return how the deliveries of each event went, or where the event waits. `is_partial` is true if rows
-- were left out: one row more than $3 is read to know it. A delivery that ended several times counts by
-- its newest end. A delivery that is sent again, or is in quarantine, counts as pending. `failed_id` is the
-- newest failed one. `kept_from` is the first id of the oldest day whose attempts are kept.
--
-- LIMIT keeps each read a look-up: of EXISTS, the planner may make a hash of a whole table.
WITH kept AS MATERIALIZED (
  SELECT min(dispatcher.id_floor(to_date(right(c.relname, 8), 'YYYYMMDD')::timestamp AT TIME ZONE 'UTC')) AS kept_from
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
  WHERE i.inhparent = 'dispatcher.attempts'::regclass AND c.relname ~ '_\d{8}$'
)
SELECT w.id, p.place, coalesce(d.delivered, 0) AS delivered, coalesce(d.failed, 0) AS failed, coalesce(d.cancelled, 0) AS cancelled,
       coalesce(d.retrying, 0) AS retrying, coalesce(d.waiting, 0) AS waiting,
       d.failed_id, coalesce(d.is_partial, false) AS is_partial, kept.kept_from
FROM unnest($2::bigint[]) AS w(id) CROSS JOIN kept
CROSS JOIN LATERAL (
  SELECT CASE WHEN (SELECT id FROM ONLY dispatcher.inbox WHERE id = w.id LIMIT 1) IS NOT NULL THEN 'inbox'
              WHEN (SELECT id FROM dispatcher.unvalidated_events WHERE id = w.id LIMIT 1) IS NOT NULL THEN 'schema_check'
              WHEN (SELECT id FROM dispatcher.quarantine WHERE id = w.id LIMIT 1) IS NOT NULL THEN 'quarantine' END AS place
) AS p
LEFT JOIN LATERAL (
  SELECT count(*) FILTER (WHERE state = 'DELIVERED') AS delivered, count(*) FILTER (WHERE state = 'FAILED') AS failed,
         count(*) FILTER (WHERE state = 'CANCELLED') AS cancelled, count(*) FILTER (WHERE state IS NULL AND attempt > 0) AS retrying,
         count(*) FILTER (WHERE state IS NULL AND attempt = 0) AS waiting, bool_or(newest.is_partial) AS is_partial,
         max(delivery_id) FILTER (WHERE state = 'FAILED') AS failed_id
  FROM (
    -- The newest row of each delivery: a pending one counts before an ended one.
    SELECT DISTINCT ON (delivery_id) delivery_id, state, attempt, nth, bool_or(nth > $3) OVER () AS is_partial
    FROM (
      (SELECT id AS delivery_id, NULL AS state, attempt, NULL::bigint AS attempt_id, row_number() OVER () AS nth
       FROM dispatcher.deliveries WHERE event_id = w.id AND environment_id = $1 LIMIT $3 + 1)
      UNION ALL
      (SELECT q.id, NULL, q.attempt, NULL, row_number() OVER ()   -- by its event alone: otherwise an index of another use could look cheaper
       FROM (SELECT id, delivery_id, environment_id, attempt FROM dispatcher.quarantine WHERE event_id = w.id OFFSET 0) AS q
       WHERE q.delivery_id = q.id AND q.environment_id = $1 LIMIT $3 + 1)
      UNION ALL
      (SELECT delivery_id, NULL, attempt, NULL, row_number() OVER () FROM dispatcher.inbox_directed
       WHERE event_id = w.id AND delivery_id IS NOT NULL AND environment_id = $1 LIMIT $3 + 1)
      UNION ALL
      (SELECT delivery_id, state, attempt, id, row_number() OVER () FROM dispatcher.attempts
       WHERE event_id = w.id AND state IS NOT NULL AND environment_id = $1 AND id > w.id - (86400000::bigint << 22) AND id > $4 AND ($5::bigint IS NULL OR id <= $5)
       LIMIT $3 + 1)
    ) AS entries
    ORDER BY delivery_id, attempt_id DESC NULLS FIRST
  ) AS newest
  WHERE nth <= $3
) AS d ON true
