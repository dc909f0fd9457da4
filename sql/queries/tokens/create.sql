-- $1 name  $2 environment, or NULL for all  $3 scope  $4 SHA-256  $5 expiry, or NULL  $6 most valid
-- tokens
--
-- A token is created only if the environment exists, the expiry is in the future, and there is
-- room.
WITH checks AS (
  SELECT $2::text IS NULL OR EXISTS (SELECT FROM dispatcher.environments WHERE id = $2) AS environment_exists,
         coalesce($5::timestamptz > now(), true) AS expires_later,
         (SELECT count(*) < $6 FROM (
            SELECT FROM dispatcher.tokens
            WHERE (environment_id = $2 OR ($2::text IS NULL AND environment_id IS NULL))
              AND revoked_at IS NULL AND coalesce(expires_at > now(), true)
            LIMIT $6
          ) AS valid) AS has_room
), created AS (
  INSERT INTO dispatcher.tokens (name, environment_id, scope, hash, expires_at)
  SELECT $1, $2, $3, $4, $5 FROM checks WHERE environment_exists AND expires_later AND has_room
  RETURNING id, name, environment_id, scope, created_at, expires_at, last_used_at, revoked_at
)
SELECT checks.environment_exists, checks.expires_later, checks.has_room, created.* FROM checks LEFT JOIN created ON true
