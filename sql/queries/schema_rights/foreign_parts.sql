-- Return functions and operators of other schemas that our objects use. Only PostgreSQL's own are
-- expected.
WITH own_objects AS (
  SELECT 'pg_proc'::regclass AS class, oid FROM pg_proc WHERE pronamespace = 'dispatcher'::regnamespace
  UNION ALL
  SELECT 'pg_class'::regclass, oid FROM pg_class WHERE relnamespace = 'dispatcher'::regnamespace
  UNION ALL
  SELECT 'pg_attrdef'::regclass, a.oid FROM pg_attrdef a JOIN pg_class c ON c.oid = a.adrelid WHERE c.relnamespace = 'dispatcher'::regnamespace
  UNION ALL
  SELECT 'pg_constraint'::regclass, oid FROM pg_constraint WHERE connamespace = 'dispatcher'::regnamespace
  UNION ALL
  SELECT 'pg_rewrite'::regclass, r.oid FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class WHERE c.relnamespace = 'dispatcher'::regnamespace
  UNION ALL
  SELECT 'pg_trigger'::regclass, t.oid FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE c.relnamespace = 'dispatcher'::regnamespace
), used AS (
  SELECT d.classid, d.objid, d.refclassid, d.refobjid, coalesce(p.pronamespace, o.oprnamespace) AS namespace
  FROM own_objects u JOIN pg_depend d ON d.classid = u.class AND d.objid = u.oid
  LEFT JOIN pg_proc p ON d.refclassid = 'pg_proc'::regclass AND p.oid = d.refobjid
  LEFT JOIN pg_operator o ON d.refclassid = 'pg_operator'::regclass AND o.oid = d.refobjid
)
SELECT DISTINCT pg_describe_object(classid, objid, 0) AS object, pg_describe_object(refclassid, refobjid, 0) AS uses
FROM used WHERE namespace NOT IN ('pg_catalog'::regnamespace, 'dispatcher'::regnamespace)
ORDER BY 1, 2 LIMIT 20
