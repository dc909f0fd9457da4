-- Return a row if this session may migrate now: no other live session holds the claim.
--
-- A session is identified by its process id and the start time of its process. Another role cannot
-- imitate that, but it could take an advisory lock. The start time is hidden from some roles. For
-- them only the process id counts.
INSERT INTO dispatcher.migrator AS m (pid, backend_start)
SELECT a.pid, a.backend_start FROM pg_stat_activity a WHERE a.pid = pg_backend_pid()
ON CONFLICT (only_row) DO UPDATE SET pid = excluded.pid, backend_start = excluded.backend_start
WHERE NOT EXISTS (
  SELECT 1 FROM pg_stat_activity o
  WHERE o.pid = m.pid AND o.pid <> pg_backend_pid() AND (o.backend_start = m.backend_start OR o.backend_start IS NULL))
RETURNING true AS claimed
