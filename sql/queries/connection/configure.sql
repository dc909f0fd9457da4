-- $1: names of settings, $2: their values. Those that this version of the server does not know are
-- skipped. Every name is qualified: until this has run, the search path is anybody's.
SELECT
    pg_catalog.pg_backend_pid() AS backend,
    pg_catalog.pg_is_in_recovery() AS standby,
    (
        SELECT pg_catalog.jsonb_object_agg(
            w.name, pg_catalog.set_config(s.name, w.value, false)
        )::pg_catalog.text
        FROM ROWS FROM (
            pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[])
        ) AS w (name, value)
        JOIN pg_catalog.pg_settings AS s
            ON pg_catalog.lower(s.name) OPERATOR(pg_catalog.=) pg_catalog.lower(w.name)
    ) AS settings
