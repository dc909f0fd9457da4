-- $1 id  $2 seconds from now
--
-- Draw a new version, so that every daemon pauses the endpoint. A longer pause in force stays.
WITH next AS (
  UPDATE dispatcher.endpoint_version SET version = version + 1 RETURNING version
), updated AS (
  UPDATE dispatcher.endpoints e SET version = next.version FROM next WHERE e.id = $1 RETURNING e.id
)
INSERT INTO dispatcher.endpoint_health AS h (endpoint_id, paused_until)
SELECT id, clock_timestamp() + make_interval(secs => $2) FROM updated
ON CONFLICT (endpoint_id) DO UPDATE SET paused_until = greatest(h.paused_until, excluded.paused_until)
