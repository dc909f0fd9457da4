-- $1 id  $2 version
--
-- The pending deliveries are cancelled soon, by the step of maintenance that runs
-- deliveries/cancel_expired_and_deleted.sql. Ended ones that wait in the inbox to be sent again get their
-- last attempt here, because their fan-out would leave no trace. The previous secret, the headers and the
-- credentials are deleted at once. The secret stays, encrypted, and nothing is signed with it.
WITH gone AS (
  UPDATE dispatcher.endpoints
  SET deleted_at = now(), updated_at = now(), active = false, version = $2, previous_secret = NULL, previous_until = NULL, headers = NULL,
      authentication = NULL, authentication_sealed = NULL, tls = NULL, tls_sealed = NULL
  WHERE id = $1
), dequeued AS (
  DELETE FROM dispatcher.inbox_directed WHERE endpoint_id = $1 AND delivery_id IS NOT NULL RETURNING *
), ended AS (
  INSERT INTO dispatcher.attempts (delivery_id, event_id, endpoint_id, environment_id, type, attempt, started_at, outcome,
                                   duration_ms, error, state)
  SELECT delivery_id, event_id, endpoint_id, environment_id, type, attempt, clock_timestamp(), 'cancelled', 0,
         'the endpoint was deleted', 'CANCELLED'
  FROM dequeued
)
DELETE FROM dispatcher.subscriptions WHERE endpoint_id = $1
