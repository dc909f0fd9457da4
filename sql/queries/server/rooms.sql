-- Return how many connections the role, the database and the server allow, and how many are in use
-- by others. Only the server's limit applies to a superuser, who may also use the reserved
-- connections.
WITH me AS (
    SELECT oid, rolname, rolsuper, rolconnlimit FROM pg_roles WHERE rolname = current_user
),
here AS (
    SELECT oid, datname, datconnlimit FROM pg_database WHERE datname = current_database()
),
used AS (
    SELECT
        count(*) FILTER (WHERE a.usesysid = (SELECT oid FROM me)) AS by_role,
        count(*) FILTER (WHERE a.datid = (SELECT oid FROM here)) AS in_database,
        count(*) AS altogether
    FROM pg_stat_activity AS a
    WHERE a.datid IS NOT NULL AND a.pid <> pg_backend_pid()
        AND coalesce(a.backend_type, 'client backend') = 'client backend'
),
reserved AS (
    SELECT coalesce(sum(setting::integer), 0) AS total FROM pg_settings
    WHERE name IN ('superuser_reserved_connections', 'reserved_connections')
)
SELECT 'role' AS scope, me.rolname::text AS name, me.rolconnlimit AS allowed, used.by_role AS used
FROM me, used WHERE me.rolconnlimit >= 0 AND NOT me.rolsuper
UNION ALL
SELECT 'database', here.datname::text, here.datconnlimit, used.in_database
FROM me, here, used WHERE here.datconnlimit >= 0 AND NOT me.rolsuper
UNION ALL
SELECT
    'server', '',
    current_setting('max_connections')::integer
        - CASE WHEN me.rolsuper THEN 0 ELSE reserved.total END::integer,
    used.altogether
FROM me, used, reserved
