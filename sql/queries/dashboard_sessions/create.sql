-- $1 id  $2 hash of the token  $3 environment  $4 seconds that the session lasts  $5 most sessions of a token
--
-- The oldest sessions of the token end, so that there are never more. Maintenance deletes expired ones.
WITH surplus AS (
  DELETE FROM dispatcher.dashboard_sessions
  WHERE id = ANY (ARRAY(
    SELECT id FROM dispatcher.dashboard_sessions WHERE token_hash = $2 ORDER BY created_at DESC OFFSET $5 - 1 FOR UPDATE SKIP LOCKED))
)
INSERT INTO dispatcher.dashboard_sessions (id, token_hash, environment_id, expires_at)
VALUES ($1, $2, $3, now() + make_interval(secs => $4))
