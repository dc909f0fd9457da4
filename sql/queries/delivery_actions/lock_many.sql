-- $1 deliveries
--
-- Lock each as lock.sql does, in the order of the slots. Otherwise two bulk actions could deadlock.
SELECT 1 FROM dispatcher.delivery_locks
WHERE slot = ANY (ARRAY(SELECT DISTINCT (id & 255)::smallint FROM unnest($1::bigint[]) AS w(id)))
ORDER BY slot FOR UPDATE
