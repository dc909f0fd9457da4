-- $1 event ids  $2 no data of more bytes. Run where plan_cache_mode is force_custom_plan.
-- OFFSET 0: a large text is put together once.
SELECT id, octet_length(data) AS size, CASE WHEN octet_length(data) <= $2::bigint THEN data END AS data
FROM (SELECT id, data::text AS data FROM dispatcher.events WHERE id = ANY ($1::bigint[]) OFFSET 0) AS v
