-- $1: names of settings that the server knows.
SELECT
    pg_catalog.pg_backend_pid() AS backend,
    (
        SELECT pg_catalog.jsonb_object_agg(w.name, pg_catalog.current_setting(w.name))::pg_catalog.text
        FROM pg_catalog.unnest($1::pg_catalog.text[]) AS w (name)
    ) AS settings
