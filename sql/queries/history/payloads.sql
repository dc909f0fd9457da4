-- $1 event ids  $2 most bytes of data to return
--
-- Use plan_cache_mode = force_custom_plan, so that partitions are pruned. With OFFSET 0 a large
-- text is assembled once, not once for each use.
SELECT id, reference, octet_length(data) AS size, CASE WHEN octet_length(data) <= $2::bigint THEN data END AS data
FROM (SELECT id, reference, data::text AS data FROM dispatcher.events WHERE id = ANY ($1::bigint[]) OFFSET 0) AS v
