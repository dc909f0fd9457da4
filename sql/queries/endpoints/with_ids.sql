-- $1 endpoint ids
SELECT e.id, e.environment_id, e.url, e.active, e.deleted_at IS NOT NULL AS deleted, e.ordered, e.home_shard, e.secret,
       e.previous_secret, extract(epoch FROM e.previous_until)::float8 AS previous_until, e.headers, e.signature_schemes,
       e.max_in_flight, e.timeout_ms, e.retry, extract(epoch FROM h.paused_until)::float8 AS paused_until,
       h.failing_since IS NOT NULL AS failing
FROM dispatcher.endpoints e LEFT JOIN dispatcher.endpoint_health h ON h.endpoint_id = e.id
WHERE e.id = ANY ($1::uuid[])
