-- $1 seconds since they were revoked or expired  $2 most rows. Tokens stay as long as the audit log
-- may name them.
DELETE FROM dispatcher.tokens
WHERE id = ANY (ARRAY(
  SELECT id FROM dispatcher.tokens
  WHERE least(revoked_at, expires_at) < now() - make_interval(secs => $1) LIMIT $2))
RETURNING 1
