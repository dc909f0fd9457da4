-- $1 wait with this many rows in the inbox  $2 wait with this many pending deliveries  $3 environment
--
-- Lock the replay of the environment that has been due longest. `has_room` is false if its step can only wait: its endpoint is
-- disabled or deleted, or so many wait. No row: none is due, or another daemon holds it.
WITH due AS MATERIALIZED (
  SELECT id, environment_id, endpoint_id FROM dispatcher.replays WHERE state = 'RUNNING' AND environment_id = $3 AND next_at <= now()
  ORDER BY next_at LIMIT 1 FOR UPDATE SKIP LOCKED
)
SELECT d.id, d.environment_id, e.active AND e.deleted_at IS NULL
    AND (SELECT count(*) FROM (SELECT 1 FROM dispatcher.inbox_directed i WHERE i.endpoint_id = e.id LIMIT $1) AS counted) < $1
    AND dispatcher.count_pending(ARRAY[e.id], $2) < $2 AS has_room
FROM due d CROSS JOIN LATERAL (SELECT id, active, deleted_at FROM dispatcher.endpoints WHERE id = d.endpoint_id OFFSET 0) e
