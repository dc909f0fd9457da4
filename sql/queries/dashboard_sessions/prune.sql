-- Delete expired sessions. $1 most rows
DELETE FROM dispatcher.dashboard_sessions
WHERE id = ANY (ARRAY(SELECT id FROM dispatcher.dashboard_sessions WHERE expires_at < now() ORDER BY expires_at LIMIT $1))
RETURNING 1
