-- $1 names of settings  $2 their values. Sets those that differ, and that this server knows or will know:
-- a name with a dot belongs to a language or an extension, which may not be loaded yet. Not by pg_settings,
-- which takes some milliseconds.
SELECT current_user::text AS role, ARRAY(
  SELECT set_config(wanted.name, wanted.value, false)
  FROM unnest($1::text[], $2::text[]) AS wanted(name, value)
  WHERE current_setting(wanted.name, true) <> wanted.value
     OR (current_setting(wanted.name, true) IS NULL AND strpos(wanted.name, '.') > 0)) AS changed
