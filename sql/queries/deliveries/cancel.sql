-- $1 how many  $2 expire deliveries of events with ids below
--
-- Deliveries of deleted endpoints and those too old to keep: each ends with a row that says so.
WITH doomed AS MATERIALIZED (
  (SELECT d.id, 'the endpoint was deleted' AS error FROM dispatcher.endpoints e JOIN dispatcher.deliveries d ON d.endpoint_id = e.id
   WHERE e.deleted_at IS NOT NULL LIMIT $1)
  UNION ALL
  (SELECT d.id, 'expired: the event is about to be dropped by retention' FROM dispatcher.deliveries d WHERE d.event_id < $2 LIMIT $1)
), gone AS (
  DELETE FROM dispatcher.deliveries d USING doomed WHERE d.id = doomed.id RETURNING d.*, doomed.error
)
INSERT INTO dispatcher.attempts (delivery_id, event_id, endpoint_id, environment_id, type, attempt, started_at, outcome,
                                 duration_ms, error, request_headers, state)
SELECT id, event_id, endpoint_id, environment_id, type, attempt, clock_timestamp(), 'cancelled', 0, error, '{}', 'CANCELLED' FROM gone
RETURNING delivery_id
