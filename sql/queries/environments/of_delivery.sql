-- $1 delivery  $2 attempts with ids above this one  $3 attempts with ids up to this one, or NULL. No
-- row: it is not there. For OFFSET 0, and ids a day below $1, see history/items.sql.
SELECT environment_id FROM (
  SELECT environment_id FROM dispatcher.deliveries WHERE id = $1
  UNION ALL
  SELECT environment_id FROM dispatcher.inbox_directed WHERE delivery_id = $1
  UNION ALL
  SELECT environment_id FROM dispatcher.quarantine WHERE id = $1 AND delivery_id = $1
  UNION ALL
  SELECT environment_id FROM (
    SELECT environment_id FROM dispatcher.attempts
    WHERE delivery_id = $1 AND id > $1 - (86400000::bigint << 22) AND id > $2 AND ($3::bigint IS NULL OR id <= $3) OFFSET 0) AS tried
) AS found
LIMIT 1
