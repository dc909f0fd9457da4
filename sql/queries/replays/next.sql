-- Return the seconds until a replay is due, or NULL if none is running.
SELECT extract(epoch FROM min(next_at) - clock_timestamp())::float8 AS wait
FROM dispatcher.replays WHERE state = 'RUNNING'
