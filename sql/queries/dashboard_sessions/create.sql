-- $1 id  $2 token's hash  $3 environment  $4 seconds it lasts. What has expired goes at the same time.
WITH gone AS (
  DELETE FROM dispatcher.sign_ins WHERE expires_at < now()
)
INSERT INTO dispatcher.sign_ins (id, token_hash, environment_id, expires_at)
VALUES ($1, $2, $3, now() + make_interval(secs => $4))
