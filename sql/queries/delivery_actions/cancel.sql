-- $1 deliveries  $2 environment  $3 reason
--
-- Delete those that are pending, write the last attempt of each, and send a change notice to the daemon
-- that holds it in memory. If a delivery waits in the inbox to become pending again, delete that row
-- instead.
WITH deleted AS (
  DELETE FROM dispatcher.deliveries WHERE id = ANY ($1::bigint[]) AND environment_id = $2
  RETURNING id, event_id, endpoint_id, environment_id, type, attempt, shard
), dequeued AS (
  DELETE FROM dispatcher.inbox_directed WHERE delivery_id = ANY ($1) AND environment_id = $2
  RETURNING delivery_id AS id, event_id, endpoint_id, environment_id, type, attempt
), notices AS (
  INSERT INTO dispatcher.change_notices (delivery_id, endpoint_id, shard) SELECT id, endpoint_id, shard FROM deleted
)
INSERT INTO dispatcher.attempts (delivery_id, event_id, endpoint_id, environment_id, type, attempt, started_at, outcome,
                                 duration_ms, error, state)
SELECT id, event_id, endpoint_id, environment_id, type, attempt, clock_timestamp(), 'cancelled', 0, $3, 'CANCELLED'
FROM (SELECT id, event_id, endpoint_id, environment_id, type, attempt FROM deleted
      UNION ALL SELECT * FROM dequeued) AS ended
RETURNING delivery_id
