-- $1 id  $2 environment, or NULL for any. No row: there is no such token, or it is already revoked.
UPDATE dispatcher.tokens SET revoked_at = now()
WHERE id = $1 AND revoked_at IS NULL AND ($2::text IS NULL OR environment_id = $2)
RETURNING name, environment_id
