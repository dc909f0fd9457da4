-- $1 environment  $2 how many
SELECT environment_id, name, description, example::text AS example, schema::text AS schema, enforce, created_at, updated_at
FROM dispatcher.event_types WHERE environment_id = $1 ORDER BY name COLLATE "C" LIMIT $2
