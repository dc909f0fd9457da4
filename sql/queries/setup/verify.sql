-- $1: names of settings that the server knows.
SELECT
    pg_catalog.pg_backend_pid() AS backend,
    pg_catalog.array_agg(pg_catalog.current_setting(w.name)) AS values
FROM pg_catalog.unnest($1::pg_catalog.text[]) AS w (name)
