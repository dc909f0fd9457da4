-- $1 reason  $2 detail  $3 an inbox id
--
-- Move a row to quarantine, because its fan-out failed even alone. Otherwise it would stop the rows
-- behind it. A delivery that was to be sent again lies there under its own id, by which all statements
-- look for it. Otherwise it could be retried as well, and be sent twice. No row: another session holds
-- it or has fanned it out.
WITH deleted AS (
  DELETE FROM dispatcher.inbox
  WHERE id = ANY (ARRAY(
    SELECT id FROM dispatcher.inbox WHERE id = $3 FOR UPDATE SKIP LOCKED))
  RETURNING *
)
INSERT INTO dispatcher.quarantine (id, event_id, environment_id, type, endpoint_id, delivery_id, attempt, after_endpoint, reason, detail)
SELECT coalesce(delivery_id, id), event_id, environment_id, type, endpoint_id, delivery_id, attempt, after_endpoint, $1, $2 FROM deleted
ON CONFLICT (id) DO UPDATE SET reason = excluded.reason, detail = excluded.detail, quarantined_at = now()
RETURNING id, event_id, environment_id, type
