-- $1 endpoint ids  $2 number of new failures of each  $3 disable_after in seconds
--
-- `hopeless` is true if the endpoint has only failed for that long, with at least 5 failures on 2
-- days. Time before the latest resume does not count.
INSERT INTO dispatcher.endpoint_health AS h (endpoint_id, failing_since, failed_at, failures)
SELECT n.id, clock_timestamp(), clock_timestamp(), n.failures
FROM unnest($1::uuid[], $2::int[]) AS n(id, failures)
CROSS JOIN LATERAL (SELECT 1 FROM dispatcher.endpoints WHERE id = n.id OFFSET 0) e
ORDER BY n.id -- every daemon uses this order; otherwise two could deadlock
ON CONFLICT (endpoint_id) DO UPDATE
SET failing_since = coalesce(h.failing_since, excluded.failing_since), failed_at = excluded.failed_at,
    failures = h.failures + excluded.failures
RETURNING endpoint_id,
  greatest(failing_since, counted_since) < clock_timestamp() - make_interval(secs => $3) AND failures >= 5
  AND (greatest(failing_since, counted_since) AT TIME ZONE 'UTC')::date < (failed_at AT TIME ZONE 'UTC')::date AS hopeless
