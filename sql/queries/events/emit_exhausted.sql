-- $1 deliveries  $2 numbers of attempts: one element for each  $3 the smallest of the deliveries. Run it in a session
-- that plans with the values. Otherwise it locks all partitions.
--
-- Emit `delivery.exhausted` for each of these attempts that is on record as the one with which its delivery FAILED. So
-- none is emitted for a late result, which ended nothing. Its key prevents a second one: this statement is repeated when
-- its answer was lost, and two daemons may ask for the same attempt.
--
-- An event is skipped if no webhook of its environment subscribes to exactly this type. A value and not EXISTS, of
-- which the planner may make a join that reads all subscriptions.
INSERT INTO dispatcher.events (environment_id, type, data, source, idempotency_key)
SELECT a.environment_id, 'delivery.exhausted',
       row_to_json((SELECT r FROM (SELECT a.endpoint_id AS webhook_id, 'dlv_' || a.delivery_id AS delivery_id,
                                          'evt_' || a.event_id AS event_id, a.type AS event, a.attempt AS attempts, a.error) AS r)),
       'dispatcher', 'delivery.exhausted:dlv_' || a.delivery_id || ':' || a.attempt
FROM unnest($1::bigint[], $2::int[]) AS n(delivery_id, attempt)
-- OFFSET 0: a lookup for each, by the primary key. With the state inside, the planner may read all that failed.
CROSS JOIN LATERAL (
  SELECT environment_id, endpoint_id, delivery_id, event_id, type, attempt, error, state
  FROM dispatcher.attempts
  WHERE delivery_id = n.delivery_id AND attempt = n.attempt
    -- Skips partitions older than the deliveries. A day: the clock may have been set back since.
    AND id > n.delivery_id - (86400000::bigint << 22) AND id > $3::bigint - (86400000::bigint << 22)
  OFFSET 0) a
WHERE a.state = 'FAILED' AND NOT dispatcher.is_reserved(a.type)
  AND (SELECT s.endpoint_id FROM dispatcher.subscriptions s
       WHERE s.environment_id = a.environment_id AND s.pattern = 'delivery.exhausted' LIMIT 1) IS NOT NULL
