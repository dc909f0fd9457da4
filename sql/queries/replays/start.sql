-- $1 environment  $2 endpoint  $3 since  $4 until  $5 with events never owed  $6 deliveries a second, or NULL
-- $7 how many it will make, or NULL where nobody counted to the end
--
-- No row: one is running for the endpoint.
INSERT INTO dispatcher.recoveries (environment_id, endpoint_id, since, until, missed, rate, total, position)
VALUES ($1, $2, $3, $4, $5, $6, $7, dispatcher.id_floor($3) - 1)
ON CONFLICT (endpoint_id) WHERE state = 'RUNNING' DO NOTHING
RETURNING *, dispatcher.id_time(position) AS reached
