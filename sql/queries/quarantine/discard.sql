-- $1 environment  $2 id
--
-- A delivery that is discarded ends on record, as in expire.sql. Otherwise nothing would be left of it.
WITH discarded AS (
  DELETE FROM dispatcher.quarantine WHERE id = $2 AND environment_id = $1 RETURNING *
), ended AS (
  INSERT INTO dispatcher.attempts (delivery_id, event_id, endpoint_id, environment_id, type, attempt, started_at, outcome,
                                   duration_ms, error, state)
  SELECT delivery_id, event_id, endpoint_id, environment_id, type, attempt, clock_timestamp(), 'cancelled', 0,
         'discarded from quarantine', 'CANCELLED'
  FROM discarded WHERE delivery_id IS NOT NULL
)
SELECT event_id, type, reason FROM discarded
