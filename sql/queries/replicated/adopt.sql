-- $1 seconds since arrival  $2 most rows  $3 events with ids below this one are too old to send
--
-- Adopt events that were inserted with session_replication_role = replica, for instance by logical
-- replication. Our ordinary triggers did not fire for them. If there is a trace of such an event,
-- its deliveries were replicated too. The other events go where the triggers would have put them.
-- Those that the triggers would have refused go to quarantine.
WITH marks AS MATERIALIZED (
  DELETE FROM dispatcher.replicated_events
  WHERE event_id = ANY (ARRAY(
    SELECT event_id FROM dispatcher.replicated_events
    WHERE arrived_at < now() - make_interval(secs => $1) ORDER BY event_id LIMIT $2 FOR UPDATE SKIP LOCKED))
  RETURNING event_id, environment_id, type
), fates AS MATERIALIZED (
  SELECT m.*, CASE
    WHEN (SELECT i.id FROM dispatcher.inbox i WHERE i.id = m.event_id) IS NOT NULL
      OR (SELECT u.id FROM dispatcher.unvalidated_events u WHERE u.id = m.event_id) IS NOT NULL
      OR (SELECT d.id FROM dispatcher.deliveries d WHERE d.event_id = m.event_id LIMIT 1) IS NOT NULL
      OR (SELECT q.id FROM dispatcher.quarantine q WHERE q.event_id = m.event_id LIMIT 1) IS NOT NULL
      OR (SELECT a.id FROM dispatcher.attempts a
          WHERE a.event_id = m.event_id AND a.state IS NOT NULL AND a.id >= $3 LIMIT 1) IS NOT NULL THEN 'known'
    WHEN m.event_id < $3 THEN 'too_old'
    WHEN (SELECT e.id FROM dispatcher.environments e WHERE e.id = m.environment_id) IS NULL THEN 'quarantine'
    WHEN (SELECT t.enforce FROM dispatcher.event_types t WHERE t.environment_id = m.environment_id AND t.name = m.type) THEN 'schema_check'
    ELSE 'inbox' END AS fate
  FROM marks m
), new_inbox AS (
  INSERT INTO dispatcher.inbox (id, event_id, environment_id, type)
  SELECT event_id, event_id, environment_id, type FROM fates WHERE fate = 'inbox' ON CONFLICT DO NOTHING
), new_unvalidated AS (
  INSERT INTO dispatcher.unvalidated_events (id, environment_id, type)
  SELECT event_id, environment_id, type FROM fates WHERE fate = 'schema_check' ON CONFLICT DO NOTHING
), new_quarantine AS (
  INSERT INTO dispatcher.quarantine (id, event_id, environment_id, type, attempt, reason, detail)
  SELECT event_id, event_id, environment_id, type, 0, 'unknown_environment', 'the event was replicated, and there is no such environment here'
  FROM fates WHERE fate = 'quarantine' ON CONFLICT DO NOTHING
)
SELECT event_id, fate FROM fates
