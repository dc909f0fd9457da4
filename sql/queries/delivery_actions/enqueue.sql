-- $1 to $5 are arrays with one element a delivery that ended: its id, event, endpoint, type and attempts
-- so far. $6 environment
--
-- Queue each again under its own id. One that is not returned is already queued or pending, or its
-- endpoint was deleted. FOR SHARE: see endpoints/lock.sql.
WITH present AS MATERIALIZED (
  SELECT id FROM dispatcher.endpoints
  WHERE id = ANY (ARRAY(SELECT DISTINCT id FROM unnest($3::uuid[]) AS w(id))) AND deleted_at IS NULL
  ORDER BY id FOR SHARE
), queued AS (
  INSERT INTO dispatcher.inbox_directed (id, event_id, environment_id, type, endpoint_id, delivery_id, attempt)
  SELECT dispatcher.next_id(), w.event_id, $6, w.type, w.endpoint_id, w.id, w.attempt
  FROM unnest($1::bigint[], $2::bigint[], $3, $4::text[], $5::integer[]) AS w(id, event_id, endpoint_id, type, attempt)
  WHERE w.endpoint_id = ANY (ARRAY(SELECT id FROM present))
    AND (SELECT i.delivery_id FROM dispatcher.inbox_directed i WHERE i.delivery_id = w.id LIMIT 1) IS NULL
    AND (SELECT d.id FROM dispatcher.deliveries d WHERE d.id = w.id) IS NULL
  ORDER BY w.id
  RETURNING delivery_id
)
SELECT delivery_id, (SELECT dispatcher.wake()) FROM queued
