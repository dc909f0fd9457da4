-- $1 event ids
--
-- Use plan_cache_mode = force_custom_plan. Otherwise partitions are not pruned.
SELECT id, environment_id, type, data::text AS data FROM dispatcher.events WHERE id = ANY ($1::bigint[])
