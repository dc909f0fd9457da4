-- $1 events
--
-- Return those that are kept. The partitions of these events are locked, so that none is dropped until
-- the transaction ends. Use plan_cache_mode = force_custom_plan, so that no other is.
SELECT id FROM dispatcher.events WHERE id = ANY ($1::bigint[])
