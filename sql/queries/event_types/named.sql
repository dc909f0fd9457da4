-- $1 environment  $2 names
SELECT environment_id, name, description, example::text AS example, schema::text AS schema, enforce, created_at, updated_at
FROM dispatcher.event_types WHERE environment_id = $1 AND name = ANY ($2::text[])
