DELETE FROM dispatcher.migrator WHERE pid = pg_backend_pid()
