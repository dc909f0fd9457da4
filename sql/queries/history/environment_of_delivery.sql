-- $1 delivery. No row: there is no such delivery, or it is no longer kept. For OFFSET 0 see
-- items.sql.
SELECT environment_id FROM (
  SELECT environment_id FROM dispatcher.deliveries WHERE id = $1
  UNION ALL
  SELECT environment_id FROM dispatcher.inbox WHERE delivery_id = $1
  UNION ALL
  SELECT environment_id FROM (SELECT environment_id FROM dispatcher.attempts WHERE delivery_id = $1 AND id > $1 OFFSET 0) AS tried
) AS found
LIMIT 1
