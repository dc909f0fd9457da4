-- $1 names of settings  $2 their values. Sets those that this server knows and that differ.
SELECT current_user::text AS role, ARRAY(
  SELECT set_config(s.name, wanted.value, false)
  FROM unnest($1::text[], $2::text[]) AS wanted(name, value)
  JOIN pg_catalog.pg_settings s ON s.name = wanted.name
  WHERE s.setting <> wanted.value) AS changed
