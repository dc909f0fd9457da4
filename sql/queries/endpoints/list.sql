-- $1 environment, or NULL for all  $2 return endpoints after this id, or NULL  $3 most rows, or
-- NULL for all. Oldest first.
SELECT e.id, e.environment_id, e.name, e.description, e.url, e.active, e.disabled_reason, e.ordered, e.headers,
       e.signature_schemes, e.max_in_flight, e.rate_limit, e.timeout_ms, e.retry::text AS retry, e.metadata::text AS metadata,
       e.version, e.created_at, e.updated_at, CASE WHEN e.previous_until > now() THEN e.previous_until END AS previous_until,
       CASE WHEN h.paused_until > now() THEN h.paused_until END AS paused_until, h.failing_since,
       ARRAY(SELECT pattern FROM dispatcher.subscriptions s WHERE s.endpoint_id = e.id ORDER BY position, pattern) AS events
FROM dispatcher.endpoints e LEFT JOIN dispatcher.endpoint_health h ON h.endpoint_id = e.id
WHERE e.deleted_at IS NULL AND ($1::text IS NULL OR e.environment_id = $1)
  AND ($2::uuid IS NULL OR (e.created_at, e.id) > (SELECT created_at, id FROM dispatcher.endpoints WHERE id = $2))
ORDER BY e.created_at, e.id LIMIT $3
