-- $1 event ids  $2 bytes. Run where plan_cache_mode is force_custom_plan: only then are partitions pruned.
--
-- The data of the oldest, as many as come to no more than $2 bytes, but one at least; NULL for the rest.
SELECT id, CASE WHEN up_to_here <= $2 OR up_to_here = size THEN data::text END AS data
FROM (
  SELECT id, data, size, sum(size) OVER (ORDER BY id) AS up_to_here
  FROM (SELECT id, data, octet_length(data::text) AS size FROM dispatcher.events WHERE id = ANY ($1::bigint[])) AS sized
) AS summed
ORDER BY id
