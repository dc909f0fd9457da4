-- Return the roles that may create objects in our schema, or in a schema where our role looks up
-- unqualified names: PUBLIC, or otherwise the roles that may emit. Roles that may act as our role
-- or as the schema's owner are left out. `remedy` is the statement that revokes the right.
WITH me AS (
  SELECT r.oid AS role, d.oid AS database FROM pg_roles r, pg_database d
  WHERE r.rolname = current_user AND d.datname = current_database()
), looked_into AS (
  SELECT unnest(ARRAY['dispatcher', 'public', current_user::text]) AS name
  UNION
  SELECT btrim(part, ' "')
  FROM me, pg_db_role_setting s, unnest(s.setconfig) AS line, string_to_table(substr(line, 13), ',') AS part
  WHERE line LIKE 'search\_path=%' AND s.setrole IN (0, me.role) AND s.setdatabase IN (0, me.database)
), schemas AS (
  SELECT n.oid, n.nspname, n.nspowner, EXISTS (
    SELECT 1 FROM aclexplode(n.nspacl) a WHERE a.grantee = 0 AND a.privilege_type = 'CREATE') AS open_to_all
  FROM pg_namespace n WHERE n.nspname IN (SELECT name FROM looked_into)
)
SELECT nspname::text AS schema, 'PUBLIC' AS role, format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC', nspname) AS remedy
FROM schemas WHERE open_to_all
UNION ALL
(SELECT s.nspname, r.rolname, format('REVOKE CREATE ON SCHEMA %I FROM %I', s.nspname, r.rolname)
 FROM me, schemas s, pg_roles r, pg_roles producer
 WHERE NOT s.open_to_all AND producer.rolname = 'dispatcher_producer' AND NOT r.rolsuper
   AND pg_has_role(r.oid, producer.oid, 'MEMBER') AND NOT pg_has_role(r.oid, me.role, 'MEMBER')
   AND NOT pg_has_role(r.oid, s.nspowner, 'MEMBER')
   AND has_schema_privilege(r.oid, s.oid, 'CREATE')
 LIMIT 20)
ORDER BY 1, 2
