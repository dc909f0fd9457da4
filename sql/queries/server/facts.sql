-- Return facts about the server and our role, before our schema exists. Two columns are NULL without it.
SELECT
    current_setting('server_version') AS version,
    current_setting('server_encoding') AS encoding,
    current_user::text AS role,
    current_database()::text AS database,
    clock_timestamp() AS clock,
    has_database_privilege(current_database(), 'CREATE') AS may_create_schema,
    r.rolsuper OR r.rolcreaterole AS may_create_role,
    EXISTS (SELECT FROM pg_roles WHERE rolname = 'dispatcher_producer') AS has_producer_role,
    pg_get_userbyid(n.nspowner)::text AS schema_owner,
    pg_has_role(n.nspowner, 'USAGE') AS owns_schema
FROM pg_roles AS r
LEFT JOIN pg_namespace AS n ON n.nspname = 'dispatcher'
WHERE r.rolname = current_user
