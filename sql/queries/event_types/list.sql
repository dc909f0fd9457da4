-- $1 environment  $2 return names after this one  $3 most rows. Pairs are compared, so that the one
-- index with their order is used; '~' comes after every name.
SELECT environment_id, name, description, example::text AS example, schema::text AS schema, enforce, created_at, updated_at
FROM dispatcher.event_types
WHERE (environment_id, name COLLATE "C") > ($1, $2) AND (environment_id, name COLLATE "C") < ($1, '~')
ORDER BY environment_id, name COLLATE "C" LIMIT $3
