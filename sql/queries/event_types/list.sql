-- $1 environment  $2 return names after this one  $3 most rows
SELECT environment_id, name, description, example::text AS example, schema::text AS schema, enforce, created_at, updated_at
FROM dispatcher.event_types WHERE environment_id = $1 AND name COLLATE "C" > $2 ORDER BY name COLLATE "C" LIMIT $3
