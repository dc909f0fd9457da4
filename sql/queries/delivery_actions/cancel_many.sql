-- $1 deliveries  $2 environment  $3 reason
--
-- End those of them that are pending, as cancel.sql does for one. Return how many.
WITH deleted AS (
  DELETE FROM dispatcher.deliveries WHERE id = ANY ($1::bigint[]) AND environment_id = $2
  RETURNING id, event_id, endpoint_id, environment_id, type, attempt, shard
), dequeued AS (
  DELETE FROM dispatcher.inbox WHERE delivery_id = ANY ($1) AND environment_id = $2
  RETURNING delivery_id AS id, event_id, endpoint_id, environment_id, type, attempt
), notices AS (
  INSERT INTO dispatcher.change_notices (delivery_id, endpoint_id, shard) SELECT id, endpoint_id, shard FROM deleted
), written AS (
  INSERT INTO dispatcher.attempts (delivery_id, event_id, endpoint_id, environment_id, type, attempt, started_at, outcome,
                                   duration_ms, error, request_headers, state)
  SELECT id, event_id, endpoint_id, environment_id, type, attempt, clock_timestamp(), 'cancelled', 0, $3, '{}', 'CANCELLED'
  FROM (SELECT id, event_id, endpoint_id, environment_id, type, attempt FROM deleted
        UNION ALL SELECT * FROM dequeued) AS ended
  RETURNING 1
)
SELECT count(*) AS made FROM written
