-- $1 environment  $2 delivery  $3 ids above this one  $4 ids up to this one, or NULL  $5 most rows:
-- the newest
--
-- The outer query sorts, and ids reach a day below $2: see items.sql.
WITH recent AS MATERIALIZED (
  SELECT id, delivery_id, attempt, started_at, duration_ms, outcome, status, error, brand, signed_at, response_headers, response_body, next_at, type,
         lookup_ms, connect_ms, tls_ms, first_byte_ms
  FROM dispatcher.attempts WHERE delivery_id = $2 AND id > $2 - (86400000::bigint << 22) AND id > $3 AND ($4::bigint IS NULL OR id <= $4) AND environment_id = $1
)
SELECT * FROM recent ORDER BY attempt DESC, id DESC LIMIT $5
