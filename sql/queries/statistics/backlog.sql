-- $1 environment  $2 largest count
--
-- The inbox has no index by environment, so its first $2 rows are read. `oldest` is when the oldest
-- item that waits was made.
WITH endpoints AS MATERIALIZED (
  SELECT e.id, e.active FROM dispatcher.endpoints e WHERE e.environment_id = $1 AND e.deleted_at IS NULL LIMIT $2
), first_pending AS MATERIALIZED ( -- one index lookup for each, however many are pending
  SELECT first.id AS oldest FROM dispatcher.pending_ids(ARRAY(SELECT id FROM endpoints), 1, NULL) AS first(id)
), waiting AS MATERIALIZED (
  SELECT id, environment_id FROM dispatcher.waiting_for_fan_out($2::integer)
)
SELECT
  (SELECT count(*) FROM endpoints) AS webhooks,
  (SELECT count(*) FROM endpoints WHERE NOT active) AS disabled,
  least($2, (SELECT count(*) FROM waiting WHERE environment_id = $1)) AS inbox,
  dispatcher.count_pending(ARRAY(SELECT id FROM endpoints), $2::integer) AS pending,
  dispatcher.id_time(least((SELECT min(oldest) FROM first_pending), (SELECT min(id) FROM waiting WHERE environment_id = $1))) AS oldest,
  dispatcher.count_quarantined($1, $2::integer) AS quarantined,
  (SELECT paused_at FROM dispatcher.settings) AS all_paused_at,
  (SELECT paused_at FROM dispatcher.environments WHERE id = $1) AS paused_at
