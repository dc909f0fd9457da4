-- $1 how many of those that have expired
DELETE FROM dispatcher.sign_ins
WHERE id = ANY (ARRAY(SELECT id FROM dispatcher.sign_ins WHERE expires_at < now() ORDER BY expires_at LIMIT $1))
RETURNING 1
