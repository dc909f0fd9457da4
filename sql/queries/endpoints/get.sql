-- $1 id  $2 environment, or NULL for any
SELECT e.id, e.environment_id, e.name, e.description, e.url, e.active, e.disabled_reason, e.ordered, e.headers,
       e.signature_schemes, e.max_in_flight, e.rate_limit, e.timeout_ms, e.retry::text AS retry, e.metadata::text AS metadata,
       e.authentication::text AS authentication, e.authentication_sealed, e.tls::text AS tls, e.tls_sealed,
       e.version, e.created_at, e.updated_at, CASE WHEN e.previous_until > now() THEN e.previous_until END AS previous_until,
       CASE WHEN h.resting_until > now() THEN h.resting_until END AS resting_until, h.failing_since,
       ARRAY(SELECT pattern FROM dispatcher.subscriptions s WHERE s.endpoint_id = e.id ORDER BY position, pattern) AS events
FROM dispatcher.endpoints e LEFT JOIN dispatcher.endpoint_health h ON h.endpoint_id = e.id
WHERE e.id = $1 AND e.deleted_at IS NULL AND ($2::text IS NULL OR e.environment_id = $2)
