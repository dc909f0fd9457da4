-- $1 environment  $2 endpoint  $3 since  $4 until  $5 include events without a delivery  $6
-- deliveries a second, or NULL  $7 number of deliveries, or NULL if counting stopped early
--
-- No row: a replay of the endpoint is running.
INSERT INTO dispatcher.replays (environment_id, endpoint_id, since, until, missed, rate, total, position)
VALUES ($1, $2, $3, $4, $5, $6, $7, dispatcher.id_floor($3) - 1)
ON CONFLICT (endpoint_id) WHERE state = 'RUNNING' DO NOTHING
RETURNING *, dispatcher.id_time(position) AS reached
