-- $1 limit for each kind  $2 expire deliveries with ids below
--
-- End deliveries of deleted endpoints, and deliveries that are too old; the history gets one row
-- for each. The age is that of the delivery's id, read by the primary key. The event is as old,
-- unless it waited long or was replayed. The owner of an expired delivery may hold it in memory, also a
-- parked one, and gets a change notice. Otherwise it would still send it. A deleted endpoint needs none:
-- its version tells all daemons.
WITH candidates AS MATERIALIZED (
  (SELECT pending.id, 'the endpoint was deleted' AS error, false AS is_expired
   FROM dispatcher.pending_ids(ARRAY(SELECT id FROM dispatcher.endpoints WHERE deleted_at IS NOT NULL), $1, $1) AS pending(id))
  UNION ALL
  (SELECT d.id, 'expired: the event is about to be dropped by retention', true
   FROM dispatcher.deliveries d WHERE d.id < $2 ORDER BY d.id LIMIT $1)
), available AS MATERIALIZED (             -- SKIP LOCKED: waiting for rows that are being recorded could deadlock
  SELECT id FROM dispatcher.deliveries WHERE id = ANY (ARRAY(SELECT id FROM candidates)) FOR UPDATE SKIP LOCKED
), deleted AS (
  DELETE FROM dispatcher.deliveries d USING candidates
  WHERE d.id = ANY (ARRAY(SELECT id FROM available)) AND d.id = candidates.id RETURNING d.*, candidates.error, candidates.is_expired
), notices AS (
  INSERT INTO dispatcher.change_notices (delivery_id, endpoint_id, shard)
  SELECT id, endpoint_id, shard FROM deleted WHERE is_expired
)
INSERT INTO dispatcher.attempts (delivery_id, event_id, endpoint_id, environment_id, type, attempt, started_at, outcome,
                                 duration_ms, error, state)
SELECT id, event_id, endpoint_id, environment_id, type, attempt, clock_timestamp(), 'cancelled', 0, error, 'CANCELLED' FROM deleted
RETURNING delivery_id
