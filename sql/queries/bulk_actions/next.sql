-- Return the seconds until a bulk action is due, or NULL if none is running.
SELECT extract(epoch FROM min(next_at) - clock_timestamp())::float8 AS wait
FROM dispatcher.bulk_actions WHERE state = 'RUNNING'
