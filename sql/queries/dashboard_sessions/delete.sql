-- $1 id
DELETE FROM dispatcher.dashboard_sessions WHERE id = $1
