-- $1 revoked or expired longer than so many seconds ago  $2 how many. As long as the audit may name them, they stay.
DELETE FROM dispatcher.tokens
WHERE id = ANY (ARRAY(
  SELECT id FROM dispatcher.tokens
  WHERE least(revoked_at, expires_at) < now() - make_interval(secs => $1) LIMIT $2))
RETURNING 1
