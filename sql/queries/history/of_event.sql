-- $1 environment  $2 event  $3 delivery ids below this one  $4 ids to return  $5 attempts with ids
-- above this one  $6 attempts with ids up to this one, or NULL
--
-- The deliveries of one event are read completely and then sorted. In the order of ids, the
-- statement would walk through all history. Ids of attempts reach a day below the event: see items.sql.
WITH entries AS MATERIALIZED (
  SELECT environment_id, id FROM dispatcher.deliveries WHERE event_id = $2
  UNION ALL
  SELECT environment_id, delivery_id FROM dispatcher.inbox_directed WHERE event_id = $2 AND delivery_id IS NOT NULL
  UNION ALL
  SELECT environment_id, id   -- by the event alone: otherwise an index of another use could look cheaper
  FROM (SELECT environment_id, id, delivery_id FROM dispatcher.quarantine WHERE event_id = $2 OFFSET 0) AS q WHERE delivery_id = id
  UNION ALL
  SELECT environment_id, delivery_id FROM dispatcher.attempts WHERE event_id = $2 AND state IS NOT NULL AND id > $2 - (86400000::bigint << 22)
    AND id > $5 AND ($6::bigint IS NULL OR id <= $6)
)
SELECT DISTINCT id FROM entries WHERE environment_id = $1 AND id < $3 ORDER BY id DESC LIMIT $4
