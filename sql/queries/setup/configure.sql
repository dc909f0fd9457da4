-- $1: names of settings, $2: their values. Those that this version of the server does not know are
-- skipped. Every name is qualified: until this has run, the search path is anybody's.
SELECT
    pg_catalog.pg_backend_pid() AS backend,
    pg_catalog.pg_is_in_recovery() AS standby,
    pg_catalog.array_agg(w.name) AS names,
    pg_catalog.array_agg(pg_catalog.set_config(w.name, w.value, false)) AS values
FROM ROWS FROM (
    pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[])
) AS w (name, value)
WHERE pg_catalog.current_setting(w.name, true) IS NOT NULL
