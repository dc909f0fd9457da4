-- $1 id
--
-- The token's columns are NULL if no valid token of the table has the hash.
SELECT s.token_hash, s.environment_id, s.expires_at, t.id AS token_id, t.name, t.scope, t.environment_id AS bound_to
FROM dispatcher.dashboard_sessions s
LEFT JOIN dispatcher.tokens t
  ON t.hash = s.token_hash AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > now())
WHERE s.id = $1 AND s.expires_at > now()
