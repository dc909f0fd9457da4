-- $1 environment, or NULL for all tokens  $2, $3 return tokens made before this time, or then with a
-- lower id; NULL: the newest  $4 most rows. Newest first.
--
-- The token at that position may be gone: it is only a position.
SELECT id, name, environment_id, scope, created_at, expires_at, last_used_at, revoked_at
FROM dispatcher.tokens
WHERE ($1::text IS NULL OR environment_id = $1)
  AND ($2::timestamptz IS NULL OR (created_at, id) < ($2, $3::uuid))
ORDER BY created_at DESC, id DESC LIMIT $4
