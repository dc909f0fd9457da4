-- $1 seconds
--
-- Return the ten oldest transactions of this database that have kept deleted rows from being removed
-- for longer than that. The age of a session of another role is visible to members of
-- pg_read_all_stats only. If it is hidden, it is NULL, and the session is returned if it holds back a
-- hundred thousand transactions.
SELECT pid, coalesce(usename::text, '?') AS role, extract(epoch FROM clock_timestamp() - xact_start)::float8 AS age
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
  AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)
  AND (xact_start < clock_timestamp() - make_interval(secs => $1)
       OR (xact_start IS NULL AND greatest(age(backend_xmin), age(backend_xid)) > 100000))
ORDER BY xact_start, pid LIMIT 10
