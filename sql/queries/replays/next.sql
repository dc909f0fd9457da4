-- Seconds until one is due; NULL: none is running.
SELECT extract(epoch FROM min(next_at) - clock_timestamp())::float8 AS wait
FROM dispatcher.recoveries WHERE state = 'RUNNING'
