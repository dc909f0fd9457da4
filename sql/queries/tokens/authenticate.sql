-- $1 SHA-256. No row: there is no such token, or it is revoked or expired.
--
-- `last_used_at` is updated once a minute. SKIP LOCKED leaves that to the request that gets the row
-- lock at once. Otherwise requests with the same token would wait for each other.
WITH token AS (
  SELECT id, name, scope, environment_id, extract(epoch FROM expires_at - now())::float8 AS seconds_left FROM dispatcher.tokens
  WHERE hash = $1 AND revoked_at IS NULL AND coalesce(expires_at > now(), true)
), unmarked AS (
  SELECT t.id FROM dispatcher.tokens t JOIN token ON token.id = t.id
  WHERE coalesce(t.last_used_at <= now() - interval '1 minute', true)
  FOR NO KEY UPDATE OF t SKIP LOCKED
), used AS (
  UPDATE dispatcher.tokens t SET last_used_at = now() FROM unmarked WHERE t.id = unmarked.id
)
SELECT id, name, scope, environment_id, seconds_left FROM token
