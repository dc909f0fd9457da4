-- $1 id  $2 version  $3 name  $4 description  $5 url  $6 active  $7 headers (encrypted)  $8
-- signature schemes  $9 max_in_flight  $10 rate_limit  $11 timeout in ms  $12 retry, JSON  $13
-- metadata, JSON  $14 authentication, JSON  $15 authentication (encrypted)  $16 tls, JSON  $17 tls
-- (encrypted)
--
-- Enabling an endpoint clears its failures. Otherwise the next failure would disable it again.
WITH changed AS (
  UPDATE dispatcher.endpoints
  SET version = $2, name = $3, description = $4, url = $5, active = $6, headers = $7, signature_schemes = $8,
      max_in_flight = $9, rate_limit = $10, timeout_ms = $11, retry = $12::jsonb, metadata = $13::json,
      authentication = $14::json, authentication_sealed = $15, tls = $16::json, tls_sealed = $17,
      disabled_reason = CASE WHEN $6 THEN NULL ELSE disabled_reason END, updated_at = now()
  WHERE id = $1
)
UPDATE dispatcher.endpoint_health SET failing_since = NULL, failed_at = NULL, failures = 0, resting_until = NULL
WHERE endpoint_id = $1 AND $6 AND EXISTS (SELECT 1 FROM dispatcher.endpoints WHERE id = $1 AND NOT active)
