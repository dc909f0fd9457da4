-- $1 tokens  $2 endpoints  $3 environments  $4 environments of event types  $5 event types, as many
--
-- Return the name of each that there is or was. `is_gone`: it is revoked or deleted.
SELECT 'token' AS kind, t.id::text AS id, t.name, t.revoked_at IS NOT NULL AS is_gone
FROM unnest($1::uuid[]) AS w(id) CROSS JOIN LATERAL (SELECT * FROM dispatcher.tokens WHERE id = w.id OFFSET 0) AS t
UNION ALL
SELECT 'webhook', e.id::text, e.name, e.deleted_at IS NOT NULL
FROM unnest($2::uuid[]) AS w(id) CROSS JOIN LATERAL (SELECT * FROM dispatcher.endpoints WHERE id = w.id OFFSET 0) AS e
UNION ALL
SELECT 'environment', v.id, v.name, false
FROM unnest($3::text[]) AS w(id) CROSS JOIN LATERAL (SELECT * FROM dispatcher.environments WHERE id = w.id OFFSET 0) AS v
UNION ALL
SELECT 'event_type', t.environment_id || '/' || t.name, t.name, false
FROM unnest($4::text[], $5::text[]) AS w(environment_id, name)
CROSS JOIN LATERAL (SELECT * FROM dispatcher.event_types WHERE environment_id = w.environment_id AND name = w.name OFFSET 0) AS t
