-- $1 names of settings  $2 their values
--
-- Set the settings that differ, if this server knows them. A name with a dot belongs to a language
-- or an extension that may not be loaded yet, so it is set even if it is unknown. pg_settings is
-- not read, because it takes some milliseconds.
SELECT current_user::text AS role, ARRAY(
  SELECT set_config(requested.name, requested.value, false)
  FROM unnest($1::text[], $2::text[]) AS requested(name, value)
  WHERE current_setting(requested.name, true) <> requested.value
     OR (current_setting(requested.name, true) IS NULL AND strpos(requested.name, '.') > 0)) AS changed
