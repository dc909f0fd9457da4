-- Return the sessions that hold locks on our tables, the oldest transactions first. The session
-- that blocks a migration is among them.
SELECT a.pid, a.usename::text AS role, a.application_name AS application, a.state
FROM pg_stat_activity a
WHERE a.pid <> pg_backend_pid() AND EXISTS (
  SELECT 1 FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_database d ON d.oid = l.database
  WHERE l.pid = a.pid AND l.granted AND d.datname = current_database() AND c.relnamespace = to_regnamespace('dispatcher'))
ORDER BY a.xact_start NULLS LAST, a.pid LIMIT 5
