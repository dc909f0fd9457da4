-- $1 delivery  $2 why. The row goes, its last one is written, and who holds it in memory is told. One on its
-- way back to be pending does not arrive.
WITH gone AS (
  DELETE FROM dispatcher.deliveries WHERE id = $1
  RETURNING id, event_id, endpoint_id, environment_id, type, attempt, shard
), withdrawn AS (
  DELETE FROM dispatcher.inbox WHERE delivery_id = $1
  RETURNING delivery_id AS id, event_id, endpoint_id, environment_id, type, attempt
), told AS (
  INSERT INTO dispatcher.nudges (delivery_id, endpoint_id, shard) SELECT id, endpoint_id, shard FROM gone
)
INSERT INTO dispatcher.attempts (delivery_id, event_id, endpoint_id, environment_id, type, attempt, started_at, outcome,
                                 duration_ms, error, request_headers, state)
SELECT id, event_id, endpoint_id, environment_id, type, attempt, clock_timestamp(), 'cancelled', 0, $2, '{}', 'CANCELLED'
FROM (SELECT id, event_id, endpoint_id, environment_id, type, attempt FROM gone
      UNION ALL SELECT * FROM withdrawn) AS ended
RETURNING delivery_id
