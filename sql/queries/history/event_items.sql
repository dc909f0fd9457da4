-- $1 environment  $2 event ids  $3 most bytes of data to return. See payloads.sql.
SELECT id, environment_id, type, source, idempotency_key, reference, octet_length(data) AS size,
       CASE WHEN octet_length(data) <= $3::bigint THEN data END AS data
FROM (SELECT id, environment_id, type, source, idempotency_key, reference, data::text AS data
      FROM dispatcher.events WHERE id = ANY ($2::bigint[]) AND environment_id = $1 OFFSET 0) AS v
ORDER BY id DESC
