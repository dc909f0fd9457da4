-- $1 events with ids below this one are about to be dropped  $2 most rows
--
-- An event in quarantine prevents its day's partition, and all later ones, from being dropped. So
-- it expires as a pending delivery does, on record: in the audit log, and as the last attempt of
-- its delivery if it has one. ctid: of an id, the planner may make a walk through the whole index of
-- environments.
WITH expired AS (
  DELETE FROM dispatcher.quarantine
  WHERE ctid = ANY (ARRAY(SELECT ctid FROM dispatcher.quarantine WHERE event_id < $1 ORDER BY event_id LIMIT $2))
  RETURNING *
), noted AS (
  INSERT INTO dispatcher.audit (environment_id, actor, action, subject, detail)
  SELECT environment_id, 'dispatcher', 'quarantine.expire', 'q_' || id,
         json_build_object('event_id', 'evt_' || event_id, 'type', type, 'reason', reason)
  FROM expired
), ended AS (
  INSERT INTO dispatcher.attempts (delivery_id, event_id, endpoint_id, environment_id, type, attempt, started_at, outcome,
                                   duration_ms, error, state)
  SELECT delivery_id, event_id, endpoint_id, environment_id, type, attempt, clock_timestamp(), 'cancelled', 0,
         'expired: in quarantine until the event was about to be dropped by retention', 'CANCELLED'
  FROM expired WHERE delivery_id IS NOT NULL
)
SELECT event_id, reason FROM expired
