-- Lock all deliveries against changes by people until the transaction ends: see lock.sql.
SELECT 1 FROM dispatcher.delivery_locks ORDER BY slot FOR UPDATE
