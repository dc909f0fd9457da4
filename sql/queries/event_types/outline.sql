-- $1 environment  $2 most rows
--
-- Examples are left out. A schema is `true` if there is one.
SELECT environment_id, name, description, NULL::text AS example, CASE WHEN schema IS NOT NULL THEN 'true' END AS schema, enforce,
       created_at, updated_at
FROM dispatcher.event_types WHERE environment_id = $1 ORDER BY name COLLATE "C" LIMIT $2
