-- $1 delivery
--
-- Lock one delivery against other changes by people until the transaction ends. A row is locked,
-- not an advisory lock, because any login of the database can take an advisory lock and keep it.
SELECT 1 FROM dispatcher.delivery_locks WHERE slot = ($1::bigint & 255)::smallint FOR UPDATE
