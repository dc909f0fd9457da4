-- $1 delivery that ended  $2 event  $3 endpoint  $4 environment  $5 type  $6 attempts so far
--
-- Queue the delivery again under its own id. No row: it is already queued or pending.
WITH queued AS (
  INSERT INTO dispatcher.inbox (id, event_id, environment_id, type, endpoint_id, delivery_id, attempt)
  SELECT dispatcher.next_id(), $2, $4, $5, $3, $1, $6
  WHERE NOT EXISTS (SELECT 1 FROM dispatcher.inbox WHERE delivery_id = $1)
    AND NOT EXISTS (SELECT 1 FROM dispatcher.deliveries WHERE id = $1)
  RETURNING delivery_id
)
SELECT delivery_id, dispatcher.wake() FROM queued
