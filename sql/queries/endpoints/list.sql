-- $1 environment, or NULL for all
SELECT e.id, e.environment_id, e.name, e.url, e.active, e.disabled_reason, e.created_at, e.updated_at,
       ARRAY(SELECT pattern FROM dispatcher.subscriptions s WHERE s.endpoint_id = e.id ORDER BY pattern) AS events
FROM dispatcher.endpoints e
WHERE e.deleted_at IS NULL AND ($1::text IS NULL OR e.environment_id = $1)
ORDER BY e.created_at, e.id
