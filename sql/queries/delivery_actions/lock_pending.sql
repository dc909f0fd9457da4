-- $1 deliveries
--
-- Lock those that are pending until the transaction ends. Return those that cannot be locked at once, because
-- another transaction records an attempt at them. Two transactions that wait for each other's deliveries
-- would be a deadlock.
SELECT id FROM dispatcher.deliveries WHERE id = ANY ($1::bigint[])
EXCEPT
SELECT id FROM (SELECT id FROM dispatcher.deliveries WHERE id = ANY ($1) FOR UPDATE SKIP LOCKED) AS mine
