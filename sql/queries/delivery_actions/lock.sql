-- $1 deliveries
--
-- Lock them against other changes by people until the transaction ends. Rows are locked, not advisory
-- locks, because any login of the database can take an advisory lock and keep it. The order of the slots
-- keeps two callers from a deadlock.
SELECT 1 FROM dispatcher.delivery_locks
WHERE slot = ANY (ARRAY(SELECT DISTINCT (id & 255)::smallint FROM unnest($1::bigint[]) AS w(id)))
ORDER BY slot FOR UPDATE
