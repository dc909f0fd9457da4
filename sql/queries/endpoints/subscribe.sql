-- $1 endpoint  $2 patterns. They replace all others and keep their order.
WITH endpoint AS (
  SELECT id, environment_id FROM dispatcher.endpoints WHERE id = $1
), removed AS (
  DELETE FROM dispatcher.subscriptions WHERE endpoint_id = $1 AND pattern <> ALL ($2::text[])
)
INSERT INTO dispatcher.subscriptions (environment_id, pattern, endpoint_id, position)
SELECT e.environment_id, p.pattern, e.id, p.position FROM endpoint e, unnest($2::text[]) WITH ORDINALITY AS p(pattern, position)
ON CONFLICT (environment_id, pattern, endpoint_id) DO UPDATE SET position = excluded.position
