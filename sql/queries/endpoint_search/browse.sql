-- $1 environment  $2 text, or an empty one  $3 endpoints to read  $4 state, or NULL
-- $5 order: oldest, newest, name or failed  $6 rows to skip  $7 most rows
--
-- Return how many endpoints of each state have the text in their name or URL, and the ids of a page of
-- those with the wanted state. It reads the endpoints of one environment, up to $3. The environment is
-- compared by itself, not in triples as in list.sql: of those, the planner expects one row, and would
-- look up the health of each endpoint instead of making a hash of it.
WITH looked AS (
  SELECT id, name, url, active, created_at FROM dispatcher.endpoints
  WHERE environment_id = $1 AND deleted_at IS NULL ORDER BY created_at, id LIMIT $3
), judged AS MATERIALIZED (
  SELECT l.id, l.created_at, CASE WHEN $5::text = 'name' THEN lower(l.name) END AS name, h.failed_at,
         CASE WHEN NOT l.active THEN 'disabled' WHEN h.resting_until > now() THEN 'resting'
              WHEN h.failing_since IS NOT NULL THEN 'failing' ELSE 'active' END AS state
  FROM looked l LEFT JOIN dispatcher.endpoint_health h ON h.endpoint_id = l.id
  WHERE $2::text = '' OR strpos(lower(l.name), lower($2)) > 0 OR strpos(lower(l.url), lower($2)) > 0
)
SELECT count(*) AS number, count(*) FILTER (WHERE state = 'active') AS active, count(*) FILTER (WHERE state = 'failing') AS failing,
       count(*) FILTER (WHERE state = 'resting') AS resting, count(*) FILTER (WHERE state = 'disabled') AS disabled,
       ARRAY(
         SELECT id FROM judged WHERE $4::text IS NULL OR state = $4
         ORDER BY CASE WHEN $5 = 'failed' THEN failed_at END DESC NULLS LAST, name, CASE WHEN $5 = 'newest' THEN created_at END DESC,
                  created_at, id
         OFFSET $6 LIMIT $7) AS ids
FROM judged
