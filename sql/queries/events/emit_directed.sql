-- $1 environment  $2 type  $3 data, JSON  $4 endpoint
--
-- Only this endpoint gets the event, even if it does not subscribe to the type. The delivery's id is drawn before
-- the delivery is made, so that the response can name it. No row: the endpoint was deleted. FOR SHARE: see
-- endpoints/lock.sql.
WITH present AS MATERIALIZED (
  SELECT id FROM dispatcher.endpoints WHERE id = $4 AND deleted_at IS NULL FOR SHARE
), emitted AS (
  INSERT INTO dispatcher.events (environment_id, type, data, source) SELECT $1, $2, $3::json, 'directed' FROM present RETURNING id
), directed AS (
  INSERT INTO dispatcher.inbox_directed (id, event_id, environment_id, type, endpoint_id, delivery_id)
  SELECT dispatcher.next_id(), id, $1, $2, $4, dispatcher.next_id() FROM emitted
  RETURNING delivery_id
)
SELECT delivery_id, dispatcher.wake() FROM directed
