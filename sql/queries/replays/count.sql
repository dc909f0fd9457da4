-- $1 environment  $2 endpoint  $3 since  $4 until, or NULL for now  $5 count ids above this one, or
-- NULL  $6 include events without a delivery  $7 ended deliveries and events to read
--
-- Count what a replay would make, within the rows that are read. No row: there is no such endpoint.
WITH span AS MATERIALIZED (
  SELECT e.id, e.environment_id, e.active, least(coalesce($4::timestamptz, now()), now()) AS until
  FROM dispatcher.endpoints e WHERE e.id = $2 AND e.environment_id = $1 AND e.deleted_at IS NULL
)
SELECT s.active, $3::timestamptz < s.until AS forwards, s.until, f.position, f.position >= dispatcher.id_floor(s.until) AS complete, f.failed, f.missed
FROM span s CROSS JOIN LATERAL (
  SELECT max(r.place) FILTER (WHERE r.event_id IS NULL) AS position,
         count(r.event_id) FILTER (WHERE r.delivery_id IS NOT NULL) AS failed,
         count(r.event_id) FILTER (WHERE r.delivery_id IS NULL) AS missed
  FROM dispatcher.replayable(s.environment_id, s.id, coalesce($5::bigint, dispatcher.id_floor($3) - 1), dispatcher.id_floor(s.until), $6, $7) r
) f
