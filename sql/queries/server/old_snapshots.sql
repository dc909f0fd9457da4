-- $1 seconds
--
-- Transactions of this database that keep what was deleted for longer than that, the oldest ten. When a
-- session of another role began is told to members of pg_read_all_stats only: NULL, if it keeps a
-- hundred thousand transactions.
SELECT pid, coalesce(usename::text, '?') AS role, extract(epoch FROM clock_timestamp() - xact_start)::float8 AS age
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
  AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)
  AND (xact_start < clock_timestamp() - make_interval(secs => $1)
       OR (xact_start IS NULL AND greatest(age(backend_xmin), age(backend_xid)) > 100000))
ORDER BY xact_start, pid LIMIT 10
