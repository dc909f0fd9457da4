-- $1 id  $2 seconds from now
INSERT INTO dispatcher.endpoint_health (endpoint_id, paused_until)
SELECT id, clock_timestamp() + make_interval(secs => $2) FROM dispatcher.endpoints WHERE id = $1
ON CONFLICT (endpoint_id) DO UPDATE SET paused_until = excluded.paused_until
