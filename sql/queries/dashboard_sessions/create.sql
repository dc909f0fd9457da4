-- $1 id  $2 hash of the token  $3 environment  $4 seconds that the session lasts
--
-- Expired sessions are deleted in the same statement.
WITH expired AS (
  DELETE FROM dispatcher.dashboard_sessions WHERE expires_at < now()
)
INSERT INTO dispatcher.dashboard_sessions (id, token_hash, environment_id, expires_at)
VALUES ($1, $2, $3, now() + make_interval(secs => $4))
