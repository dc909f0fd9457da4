-- Return the session that migrates. No row: no session does.
SELECT a.pid, a.usename::text AS role, a.application_name AS application, a.state
FROM dispatcher.migrator m
JOIN pg_stat_activity a ON a.pid = m.pid AND (a.backend_start = m.backend_start OR a.backend_start IS NULL)
