-- For the rest of the transaction, plan each statement with its values, so that partitions are pruned.
SELECT set_config('plan_cache_mode', 'force_custom_plan', true)
