-- $1 event ids. Run where plan_cache_mode is force_custom_plan: only then are partitions pruned.
SELECT id, environment_id, type, data::text AS data FROM dispatcher.events WHERE id = ANY ($1::bigint[])
