-- $1 delivery  $2 number of recorded attempts  $3 detail
--
-- The database refuses the result of an attempt, so the delivery goes to quarantine, where people
-- see it and can release it: with its own id, and with the attempt that could not be recorded
-- counted. No row: the delivery has changed since it was read.
WITH deleted AS (
  DELETE FROM dispatcher.deliveries WHERE id = $1 AND attempt = $2
  RETURNING id, event_id, endpoint_id, environment_id, type, attempt
)
INSERT INTO dispatcher.quarantine (id, event_id, environment_id, type, endpoint_id, delivery_id, attempt, reason, detail)
SELECT id, event_id, environment_id, type, endpoint_id, id, attempt + 1, 'result_refused', $3 FROM deleted
ON CONFLICT (id) DO UPDATE SET attempt = excluded.attempt, reason = excluded.reason, detail = excluded.detail, quarantined_at = now()
RETURNING id
