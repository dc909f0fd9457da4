-- $1 id  $2 version  $3 name  $4 description  $5 url  $6 active  $7 headers (encrypted)  $8 schemes  $9 in flight
-- $10 rate limit  $11 timeout in ms  $12 retry, JSON  $13 metadata, JSON
-- Who is enabled again begins anew: its failures are forgotten, or the next one would disable it.
WITH changed AS (
  UPDATE dispatcher.endpoints
  SET version = $2, name = $3, description = $4, url = $5, active = $6, headers = $7, signature_schemes = $8,
      max_in_flight = $9, rate_limit = $10, timeout_ms = $11, retry = $12::jsonb, metadata = $13::json,
      disabled_reason = CASE WHEN $6 THEN NULL ELSE disabled_reason END, updated_at = now()
  WHERE id = $1
)
UPDATE dispatcher.endpoint_health SET failing_since = NULL, failed_at = NULL, failures = 0, paused_until = NULL
WHERE endpoint_id = $1 AND $6 AND EXISTS (SELECT 1 FROM dispatcher.endpoints WHERE id = $1 AND NOT active)
