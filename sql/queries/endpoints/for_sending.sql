-- $1 endpoint ids
--
-- `may_send` is also false while the environment or all of them are paused.
SELECT e.id, e.environment_id, e.url, e.active AND p.paused_at IS NULL AND s.paused_at IS NULL AS may_send, e.deleted_at IS NOT NULL AS deleted, e.ordered, e.home_shard, e.secret,
       e.previous_secret, extract(epoch FROM e.previous_until)::float8 AS previous_until, e.headers, e.authentication_sealed, e.tls_sealed, e.signature_schemes,
       e.max_in_flight, e.rate_limit, e.timeout_ms, e.retry, extract(epoch FROM h.resting_until)::float8 AS resting_until, h.failing_since IS NOT NULL AS is_failing
FROM dispatcher.endpoints e
LEFT JOIN LATERAL (SELECT resting_until, failing_since FROM dispatcher.endpoint_health WHERE endpoint_id = e.id OFFSET 0) h ON true
CROSS JOIN LATERAL (SELECT paused_at FROM dispatcher.environments WHERE id = e.environment_id OFFSET 0) p
CROSS JOIN (SELECT paused_at FROM dispatcher.settings OFFSET 0) s
WHERE e.id = ANY ($1::uuid[])
