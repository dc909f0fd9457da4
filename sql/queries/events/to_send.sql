-- $1 event ids  $2 bytes of data
--
-- Return each event. The smallest ones come with their data, until it amounts to $2 bytes; at least one
-- does. The data of the others is NULL: ask for them again. Use plan_cache_mode = force_custom_plan.
-- Otherwise partitions are not pruned.
SELECT id, environment_id, type, CASE WHEN before < $2::bigint THEN data::text END AS data
FROM (
  SELECT *, coalesce(sum(size) OVER (ORDER BY size, id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
  FROM (
    SELECT id, environment_id, type, data, octet_length(data::text) AS size
    FROM dispatcher.events WHERE id = ANY ($1::bigint[]) OFFSET 0) AS sized
) AS in_order
