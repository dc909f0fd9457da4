-- $1 name  $2 environment, or NULL for every one  $3 scope  $4 SHA-256  $5 when it expires, or NULL.
-- Nothing is made unless the environment is known and the expiry is still to come.
WITH asked AS (
  SELECT $2::text IS NULL OR EXISTS (SELECT FROM dispatcher.environments WHERE id = $2) AS known,
         coalesce($5::timestamptz > now(), true) AS lasting
), made AS (
  INSERT INTO dispatcher.tokens (name, environment_id, scope, hash, expires_at)
  SELECT $1, $2, $3, $4, $5 FROM asked WHERE known AND lasting
  RETURNING id, name, environment_id, scope, created_at, expires_at, last_used_at, revoked_at
)
SELECT asked.known, asked.lasting, made.* FROM asked LEFT JOIN made ON true
