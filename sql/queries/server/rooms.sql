-- Return how many connections the role, the database and the server allow, and how many are in use
-- by others. Only the server's limit applies to a superuser, who may also use the reserved
-- connections.
WITH own_role AS (
    SELECT oid, rolname, rolsuper, rolconnlimit FROM pg_roles WHERE rolname = current_user
),
own_database AS (
    SELECT oid, datname, datconnlimit FROM pg_database WHERE datname = current_database()
),
used AS (
    SELECT
        count(*) FILTER (WHERE a.usesysid = (SELECT oid FROM own_role)) AS by_role,
        count(*) FILTER (WHERE a.datid = (SELECT oid FROM own_database)) AS in_database,
        count(*) AS total_used
    FROM pg_stat_activity AS a
    WHERE a.datid IS NOT NULL AND a.pid <> pg_backend_pid()
        AND coalesce(a.backend_type, 'client backend') = 'client backend'
),
reserved AS (
    SELECT coalesce(sum(setting::integer), 0) AS total FROM pg_settings
    WHERE name IN ('superuser_reserved_connections', 'reserved_connections')
)
SELECT 'role' AS scope, own_role.rolname::text AS name, own_role.rolconnlimit AS allowed, used.by_role AS used
FROM own_role, used WHERE own_role.rolconnlimit >= 0 AND NOT own_role.rolsuper
UNION ALL
SELECT 'database', own_database.datname::text, own_database.datconnlimit, used.in_database
FROM own_role, own_database, used WHERE own_database.datconnlimit >= 0 AND NOT own_role.rolsuper
UNION ALL
SELECT
    'server', '',
    current_setting('max_connections')::integer
        - CASE WHEN own_role.rolsuper THEN 0 ELSE reserved.total END::integer,
    used.total_used
FROM own_role, used, reserved
