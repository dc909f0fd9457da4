-- $1 event ids  $2 most bytes. Run it with plan_cache_mode = force_custom_plan: otherwise
-- partitions are not pruned.
--
-- Read the data of the oldest events, at most $2 bytes in all but at least one event; NULL for the
-- others.
SELECT id, CASE WHEN up_to_here <= $2 OR up_to_here = size THEN data::text END AS data
FROM (
  SELECT id, data, size, sum(size) OVER (ORDER BY id) AS up_to_here
  FROM (SELECT id, data, octet_length(data::text) AS size FROM dispatcher.events WHERE id = ANY ($1::bigint[])) AS sized
) AS summed
ORDER BY id
