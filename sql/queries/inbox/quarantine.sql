-- $1 reason  $2 detail
--
-- The oldest inbox row nobody else holds: fanning it out alone failed, so it must not be in the way.
WITH gone AS (
  DELETE FROM dispatcher.inbox
  WHERE id = ANY (ARRAY(SELECT id FROM dispatcher.inbox ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED))
  RETURNING *
)
INSERT INTO dispatcher.quarantine (id, event_id, environment_id, type, endpoint_id, delivery_id, attempt, after_endpoint, reason, detail)
SELECT id, event_id, environment_id, type, endpoint_id, delivery_id, attempt, after_endpoint, $1, $2 FROM gone
RETURNING id, event_id, environment_id, type
