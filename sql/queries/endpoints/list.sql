-- $1 environment, or NULL for all  $2 return endpoints after this id, or NULL  $3 most rows, or NULL
-- for all. Oldest first.
--
-- The page is read first, in the order of an index: one for an environment, another for all.
-- Otherwise the columns of all endpoints would be computed and sorted for each page. For an
-- environment the conditions compare triples, because only one index has their order. So wrong
-- statistics cannot lead to a sort. Only one of the two parts is executed.
SELECT e.id, e.environment_id, e.name, e.description, e.url, e.active, e.disabled_reason, e.ordered, e.headers,
       e.signature_schemes, e.max_in_flight, e.rate_limit, e.timeout_ms, e.retry::text AS retry, e.metadata::text AS metadata,
       e.authentication::text AS authentication, e.tls::text AS tls,
       e.version, e.created_at, e.updated_at, CASE WHEN e.previous_until > now() THEN e.previous_until END AS previous_until,
       CASE WHEN h.resting_until > now() THEN h.resting_until END AS resting_until, h.failing_since,
       ARRAY(SELECT pattern FROM dispatcher.subscriptions s WHERE s.endpoint_id = e.id ORDER BY position, pattern) AS events
FROM (
  (SELECT * FROM dispatcher.endpoints
   WHERE $1::text IS NOT NULL AND deleted_at IS NULL AND (environment_id, created_at, id) > (
       $1, CASE WHEN $2::uuid IS NULL THEN '-infinity' ELSE (SELECT created_at FROM dispatcher.endpoints WHERE id = $2) END,
       coalesce($2, '00000000-0000-0000-0000-000000000000'))
     AND (environment_id, created_at, id) <= ($1, 'infinity', 'ffffffff-ffff-ffff-ffff-ffffffffffff')
   ORDER BY environment_id, created_at, id LIMIT $3)
  UNION ALL
  (SELECT * FROM dispatcher.endpoints
   WHERE $1::text IS NULL AND deleted_at IS NULL AND (created_at, id) > (
       CASE WHEN $2::uuid IS NULL THEN '-infinity' ELSE (SELECT created_at FROM dispatcher.endpoints WHERE id = $2) END,
       coalesce($2, '00000000-0000-0000-0000-000000000000'))
   ORDER BY created_at, id LIMIT $3)
) AS e
LEFT JOIN LATERAL (
  SELECT resting_until, failing_since FROM dispatcher.endpoint_health WHERE endpoint_id = e.id OFFSET 0
) AS h ON true
ORDER BY e.created_at, e.id
