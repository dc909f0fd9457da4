-- $1 environment  $2 ids. As list.sql, in the order of the ids. Deleted endpoints are left out.
SELECT e.id, e.environment_id, e.name, e.description, e.url, e.active, e.disabled_reason, e.ordered, e.headers,
       e.signature_schemes, e.max_in_flight, e.rate_limit, e.timeout_ms, e.retry::text AS retry, e.metadata::text AS metadata,
       e.authentication::text AS authentication, e.tls::text AS tls,
       e.version, e.created_at, e.updated_at, CASE WHEN e.previous_until > now() THEN e.previous_until END AS previous_until,
       CASE WHEN h.resting_until > now() THEN h.resting_until END AS resting_until, h.failing_since,
       ARRAY(SELECT pattern FROM dispatcher.subscriptions s WHERE s.endpoint_id = e.id ORDER BY position, pattern) AS events
FROM unnest($2::uuid[]) WITH ORDINALITY AS w(id, place)
CROSS JOIN LATERAL (SELECT * FROM dispatcher.endpoints WHERE id = w.id OFFSET 0) AS e
LEFT JOIN LATERAL (
  SELECT resting_until, failing_since FROM dispatcher.endpoint_health WHERE endpoint_id = e.id OFFSET 0
) AS h ON true
WHERE e.environment_id = $1 AND e.deleted_at IS NULL
ORDER BY w.place
