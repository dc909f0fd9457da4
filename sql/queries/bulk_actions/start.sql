-- $1 environment  $2 action  $3 criteria, JSON  $4 selected deliveries, or NULL  $5 ids below this one
-- $6 deliveries a second, or NULL  $7 number of deliveries, or NULL if counting stopped early  $8 most
-- running ones of the environment
--
-- No row: so many are running. Exact only after lock.sql in the same transaction.
INSERT INTO dispatcher.bulk_actions (environment_id, action, criteria, ids, position, rate, total)
SELECT $1, $2, $3::json, $4::bigint[], $5, $6, $7
WHERE (SELECT count(*) FROM dispatcher.bulk_actions WHERE environment_id = $1 AND state = 'RUNNING') < $8::integer
RETURNING *
