-- $1 largest count. `oldest` is when the oldest item that waits was made.
WITH endpoints AS MATERIALIZED (
  SELECT active FROM dispatcher.endpoints WHERE deleted_at IS NULL LIMIT $1
)
SELECT
  (SELECT count(*) FROM endpoints) AS webhooks,
  (SELECT count(*) FROM endpoints WHERE NOT active) AS disabled,
  (SELECT count(*) FROM (SELECT 1 FROM dispatcher.inbox UNION ALL SELECT 1 FROM dispatcher.unvalidated_events LIMIT $1) AS counted) AS inbox,
  (SELECT count(*) FROM (SELECT 1 FROM dispatcher.deliveries LIMIT $1) AS counted) AS pending,
  dispatcher.id_time(least((SELECT min(id) FROM dispatcher.deliveries), (SELECT min(id) FROM dispatcher.inbox),
                           (SELECT min(id) FROM dispatcher.unvalidated_events))) AS oldest,
  (SELECT count(*) FROM (SELECT 1 FROM dispatcher.quarantine LIMIT $1) AS counted) AS quarantined,
  (SELECT paused_at FROM dispatcher.settings) AS all_paused_at,
  NULL::timestamptz AS paused_at
