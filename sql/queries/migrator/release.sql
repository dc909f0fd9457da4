-- Only the session that holds the claim can release it.
DELETE FROM dispatcher.migrator WHERE pid = pg_backend_pid()
