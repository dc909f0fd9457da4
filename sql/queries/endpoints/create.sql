-- $1 id  $2 environment  $3 name  $4 url  $5 patterns  $6 secret (encrypted). No row: no such environment.
WITH bumped AS (
  UPDATE dispatcher.endpoint_version SET version = version + 1 RETURNING version
), made AS (
  INSERT INTO dispatcher.endpoints (id, environment_id, name, url, secret, version)
  SELECT $1, e.id, $3, $4, $6, bumped.version FROM bumped, dispatcher.environments e WHERE e.id = $2
  RETURNING id, environment_id, name, url, active, created_at, updated_at
), subscribed AS (
  INSERT INTO dispatcher.subscriptions (environment_id, pattern, endpoint_id)
  SELECT made.environment_id, pattern, made.id FROM made, unnest($5::text[]) AS pattern
)
SELECT * FROM made
