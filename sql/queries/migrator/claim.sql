-- A row if this session may migrate now: no other session that lives has said so before. A session is
-- known by its process and when that began, which no other role can imitate, as it could take a lock. When it
-- began is hidden from some roles: then its process counts.
INSERT INTO dispatcher.migrator AS m (pid, backend_start)
SELECT a.pid, a.backend_start FROM pg_stat_activity a WHERE a.pid = pg_backend_pid()
ON CONFLICT (only_row) DO UPDATE SET pid = excluded.pid, backend_start = excluded.backend_start
WHERE NOT EXISTS (
  SELECT 1 FROM pg_stat_activity o
  WHERE o.pid = m.pid AND o.pid <> pg_backend_pid() AND (o.backend_start = m.backend_start OR o.backend_start IS NULL))
RETURNING true AS claimed
