-- $1 environment, or NULL for all tokens  $2 return tokens after this id, or NULL  $3 most rows.
-- Newest first.
SELECT id, name, environment_id, scope, created_at, expires_at, last_used_at, revoked_at
FROM dispatcher.tokens
WHERE ($1::text IS NULL OR environment_id = $1)
  AND ($2::uuid IS NULL OR (created_at, id) < (SELECT created_at, id FROM dispatcher.tokens WHERE id = $2))
ORDER BY created_at DESC, id DESC LIMIT $3
