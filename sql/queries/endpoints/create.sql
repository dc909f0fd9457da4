-- $1 id  $2 environment  $3 version  $4 name  $5 description  $6 url  $7 active  $8 ordered  $9
-- secret (encrypted)  $10 headers (encrypted)  $11 signature schemes  $12 max_in_flight  $13
-- rate_limit  $14 timeout in ms  $15 retry, JSON  $16 metadata, JSON  $17 authentication, JSON  $18 authentication
-- (encrypted)  $19 tls, JSON  $20 tls (encrypted)
--
-- No row: there is no such environment.
INSERT INTO dispatcher.endpoints (id, environment_id, version, name, description, url, active, ordered, secret, headers,
                                  signature_schemes, max_in_flight, rate_limit, timeout_ms, retry, metadata,
                                  authentication, authentication_sealed, tls, tls_sealed)
SELECT $1, e.id, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15::jsonb, $16::json, $17::json, $18, $19::json, $20
FROM dispatcher.environments e WHERE e.id = $2
RETURNING id
