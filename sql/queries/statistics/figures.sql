-- $1 environment, or NULL for all  $2 largest count; endpoints are counted ten times as far
--
-- The inbox has no index by environment, so its first $2 rows are read. There may be more if it has as
-- many, of whichever environments.
WITH endpoints AS MATERIALIZED (
  SELECT id, active FROM dispatcher.endpoints WHERE deleted_at IS NULL AND ($1::text IS NULL OR environment_id = $1) LIMIT 10 * $2
), looked_at AS MATERIALIZED (
  SELECT w.id, w.environment_id FROM dispatcher.waiting_for_fan_out($2::integer) AS w
), waiting AS MATERIALIZED (
  SELECT id FROM looked_at WHERE $1::text IS NULL OR environment_id = $1
)
SELECT
  now() AS now,
  (SELECT count(*) FILTER (WHERE active) FROM endpoints) AS active,
  (SELECT count(*) FILTER (WHERE NOT active) FROM endpoints) AS disabled,
  (SELECT count(*) FROM dispatcher.endpoint_health h JOIN endpoints e ON e.id = h.endpoint_id WHERE h.failing_since IS NOT NULL AND e.active) AS failing,
  (SELECT least(count(*), $2) FROM waiting) AS inbox,
  (SELECT count(*) >= $2 FROM looked_at) AS inbox_more,
  (SELECT dispatcher.id_time(min(id)) FROM waiting) AS inbox_oldest,
  CASE WHEN $1::text IS NULL THEN (SELECT count(*) FROM (SELECT 1 FROM dispatcher.quarantine LIMIT $2) AS counted)
       ELSE dispatcher.count_quarantined($1, $2::integer) END AS quarantined,
  (SELECT paused_at FROM dispatcher.settings) AS all_paused_at,
  (SELECT paused_at FROM dispatcher.environments WHERE id = $1) AS paused_at
