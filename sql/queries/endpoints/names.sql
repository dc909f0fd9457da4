-- $1 environment  $2 endpoints. Deleted ones too, because history names them.
SELECT e.id, e.name, e.url, e.active, e.deleted_at IS NOT NULL AS deleted
FROM unnest($2::uuid[]) AS w(id) CROSS JOIN LATERAL (SELECT * FROM dispatcher.endpoints WHERE id = w.id OFFSET 0) AS e
WHERE e.environment_id = $1
