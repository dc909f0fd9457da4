-- $1 environment, or NULL for all tokens
SELECT id, name, environment_id, scope, created_at, expires_at, last_used_at, revoked_at
FROM dispatcher.tokens
WHERE $1::text IS NULL OR environment_id = $1
ORDER BY created_at DESC, id
