-- $1 accepted events  $2 rejected events, with one element each: $3 reasons  $4 details
--
-- Move events to the inbox or to quarantine in one statement, so that none is lost between the
-- tables or is in both. Events that another daemon has moved are skipped.
WITH deleted AS (
  DELETE FROM dispatcher.unvalidated_events
  WHERE id = ANY (ARRAY(
    SELECT id FROM dispatcher.unvalidated_events WHERE id = ANY ($1::bigint[] || $2::bigint[]) ORDER BY id FOR UPDATE SKIP LOCKED))
  RETURNING id, environment_id, type
), passed AS (
  INSERT INTO dispatcher.inbox (id, event_id, environment_id, type)
  SELECT id, id, environment_id, type FROM deleted WHERE id <> ALL ($2::bigint[])
  RETURNING id
), refused AS (
  INSERT INTO dispatcher.quarantine (id, event_id, environment_id, type, attempt, reason, detail)
  SELECT g.id, g.id, g.environment_id, g.type, 0, r.reason, r.detail
  FROM deleted g JOIN unnest($2::bigint[], $3::text[], $4::text[]) AS r(id, reason, detail) USING (id)
  ON CONFLICT (id) DO UPDATE SET reason = excluded.reason, detail = excluded.detail, quarantined_at = now()
  RETURNING event_id, reason
), woken AS MATERIALIZED (
  SELECT dispatcher.wake() FROM (SELECT 1 FROM passed LIMIT 1) AS any_passed
)
SELECT event_id, reason FROM refused WHERE (SELECT count(*) FROM woken) >= 0
