-- $1 environment  $2 text  $3 endpoints to read  $4 most rows
--
-- Return endpoints whose name or URL contains the text, those whose name begins with it first. A search
-- of a text needs no index: it reads the endpoints of one environment, up to $3.
WITH looked AS MATERIALIZED (
  SELECT id, name, url, active FROM dispatcher.endpoints
  WHERE deleted_at IS NULL AND (environment_id, created_at, id) > ($1::text, '-infinity'::timestamptz, '00000000-0000-0000-0000-000000000000'::uuid)
    AND (environment_id, created_at, id) <= ($1, 'infinity', 'ffffffff-ffff-ffff-ffff-ffffffffffff')
  ORDER BY environment_id, created_at, id LIMIT $3
)
SELECT id, name, url, active, false AS deleted FROM looked
WHERE strpos(lower(name), lower($2)) > 0 OR strpos(lower(url), lower($2)) > 0
ORDER BY lower(name) <> lower($2), NOT starts_with(lower(name), lower($2)), strpos(lower(name), lower($2)) = 0, lower(name), id LIMIT $4
