-- $1 reason  $2 detail  $3 read inbox ids above  $4 environments whose turn it is not
--
-- The oldest inbox row nobody else holds: fanning it out alone failed, so it must not be in the way.
WITH gone AS (
  DELETE FROM dispatcher.inbox
  WHERE id = ANY (ARRAY(
    SELECT id FROM dispatcher.inbox
    WHERE id > $3 AND CASE WHEN environment_id = ANY ($4::text[]) THEN false ELSE true END
    ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED))
  RETURNING *
)
INSERT INTO dispatcher.quarantine (id, event_id, environment_id, type, endpoint_id, delivery_id, attempt, after_endpoint, reason, detail)
SELECT id, event_id, environment_id, type, endpoint_id, delivery_id, attempt, after_endpoint, $1, $2 FROM gone
RETURNING id, event_id, environment_id, type
