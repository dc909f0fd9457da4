-- $1 environment  $2 id
--
-- Back to the inbox, not to be examined: whoever releases it has looked. Under the same id, as that of a
-- plain row is the event's own; daemons look at low ids every ten seconds.
WITH released AS (
  DELETE FROM dispatcher.quarantine WHERE id = $2 AND environment_id = $1 RETURNING *
), waiting AS (
  INSERT INTO dispatcher.inbox (id, event_id, environment_id, type, endpoint_id, delivery_id, attempt, after_endpoint)
  SELECT id, event_id, environment_id, type, endpoint_id, delivery_id, attempt, after_endpoint FROM released
)
SELECT event_id, type, reason, dispatcher.wake() FROM released
