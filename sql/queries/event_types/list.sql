-- $1 environment  $2 name to come after  $3 how many
SELECT environment_id, name, description, example::text AS example, schema::text AS schema, enforce, created_at, updated_at
FROM dispatcher.event_types WHERE environment_id = $1 AND name COLLATE "C" > $2 ORDER BY name COLLATE "C" LIMIT $3
