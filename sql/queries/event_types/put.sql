-- $1 environment  $2 name  $3 description  $4 example, or NULL  $5 schema, or NULL  $6 enforce
--
-- Each change has a time of its own, also after the clock was set back: people give it to say what they have read.
INSERT INTO dispatcher.event_types AS t (environment_id, name, description, example, schema, enforce)
VALUES ($1, $2, $3, $4::text::json, $5::text::json, $6)
ON CONFLICT (environment_id, name) DO UPDATE
  SET description = excluded.description, example = excluded.example, schema = excluded.schema,
      enforce = excluded.enforce, updated_at = greatest(clock_timestamp(), t.updated_at + interval '1 microsecond')
RETURNING environment_id, name, description, example::text AS example, schema::text AS schema, enforce, created_at, updated_at
