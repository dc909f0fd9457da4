-- $1 id  $2 version  $3 new secret (encrypted)  $4 seconds during which the old secret signs too
UPDATE dispatcher.endpoints
SET version = $2, secret = $3, updated_at = now(),
    previous_secret = CASE WHEN $4::float8 > 0 THEN secret END,
    previous_until = CASE WHEN $4::float8 > 0 THEN clock_timestamp() + make_interval(secs => $4) END
WHERE id = $1
