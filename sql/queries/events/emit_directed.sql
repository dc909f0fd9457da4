-- $1 environment  $2 type  $3 data, JSON  $4 endpoint. Owed to that endpoint alone, whatever it subscribes
-- to; the delivery has its id before it is made, so that whoever asked can be told.
WITH emitted AS (
  INSERT INTO dispatcher.events (environment_id, type, data, source) VALUES ($1, $2, $3::json, 'directed') RETURNING id
), directed AS (
  INSERT INTO dispatcher.inbox (id, event_id, environment_id, type, endpoint_id, delivery_id)
  SELECT dispatcher.next_id(), id, $1, $2, $4, dispatcher.next_id() FROM emitted
  RETURNING event_id, delivery_id
)
SELECT event_id, delivery_id, dispatcher.wake() FROM directed
