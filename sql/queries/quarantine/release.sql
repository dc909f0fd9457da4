-- $1 environment  $2 id
--
-- Move the event back to the inbox without another schema check, because a person has decided. It
-- keeps its id: that of a plain row is the event's own id. Daemons read low ids every ten seconds.
WITH released AS (
  DELETE FROM dispatcher.quarantine WHERE id = $2 AND environment_id = $1 RETURNING *
), waiting AS (
  INSERT INTO dispatcher.inbox (id, event_id, environment_id, type, endpoint_id, delivery_id, attempt, after_endpoint)
  SELECT id, event_id, environment_id, type, endpoint_id, delivery_id, attempt, after_endpoint FROM released
)
SELECT event_id, type, reason, dispatcher.wake() FROM released
