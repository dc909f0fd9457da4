-- $1 environment  $2 id. No row: there is no such entry, or it is for an endpoint that was deleted.
--
-- Move the event back to the inbox without another schema check, because a person has decided. It
-- keeps its id: that of a plain row is the event's own id. Daemons read low ids every ten seconds. FOR
-- SHARE: see endpoints/lock.sql.
WITH present AS MATERIALIZED (
  SELECT e.id FROM (SELECT endpoint_id FROM dispatcher.quarantine WHERE id = $2 AND environment_id = $1 OFFSET 0) AS q
  CROSS JOIN LATERAL (SELECT id FROM dispatcher.endpoints WHERE id = q.endpoint_id AND deleted_at IS NULL FOR SHARE) AS e
), released AS (
  DELETE FROM dispatcher.quarantine
  WHERE id = $2 AND environment_id = $1 AND (endpoint_id IS NULL OR endpoint_id = (SELECT id FROM present))
  RETURNING *
), waiting AS (
  INSERT INTO dispatcher.inbox (id, event_id, environment_id, type, endpoint_id, delivery_id, attempt, after_endpoint)
  SELECT id, event_id, environment_id, type, endpoint_id, delivery_id, attempt, after_endpoint FROM released
  WHERE endpoint_id IS NULL
), directed AS (
  INSERT INTO dispatcher.inbox_directed (id, event_id, environment_id, type, endpoint_id, delivery_id, attempt, after_endpoint)
  SELECT id, event_id, environment_id, type, endpoint_id, delivery_id, attempt, after_endpoint FROM released
  WHERE endpoint_id IS NOT NULL
)
SELECT event_id, type, reason, dispatcher.wake() FROM released
