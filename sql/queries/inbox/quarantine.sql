-- $1 reason  $2 detail  $3 only inbox ids above  $4 excluded environments  $5 true: no rows for a
-- single endpoint
--
-- Quarantine the oldest such inbox row, as its fan-out failed even alone. Otherwise it would block
-- the rows after it. No row if another transaction has locked it: the next oldest row may be sound.
WITH oldest AS MATERIALIZED (
  SELECT id FROM dispatcher.inbox
  WHERE id > $3 AND CASE WHEN environment_id = ANY ($4::text[]) THEN false ELSE true END
    AND CASE WHEN $5 THEN endpoint_id IS NULL ELSE true END
  ORDER BY id LIMIT 1
), gone AS (
  DELETE FROM dispatcher.inbox
  WHERE id = ANY (ARRAY(
    SELECT id FROM dispatcher.inbox WHERE id = (SELECT id FROM oldest) FOR UPDATE SKIP LOCKED))
  RETURNING *
)
INSERT INTO dispatcher.quarantine (id, event_id, environment_id, type, endpoint_id, delivery_id, attempt, after_endpoint, reason, detail)
SELECT id, event_id, environment_id, type, endpoint_id, delivery_id, attempt, after_endpoint, $1, $2 FROM gone
ON CONFLICT (id) DO UPDATE SET reason = excluded.reason, detail = excluded.detail, quarantined_at = now()
RETURNING id, event_id, environment_id, type
