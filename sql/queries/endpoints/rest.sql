-- $1 id  $2 seconds from now
--
-- Draw a new version, so that the endpoint rests in every daemon. A longer rest in force stays.
WITH next AS (
  UPDATE dispatcher.endpoint_version SET version = version + 1 RETURNING version
), updated AS (
  UPDATE dispatcher.endpoints e SET version = next.version FROM next WHERE e.id = $1 RETURNING e.id
)
INSERT INTO dispatcher.endpoint_health AS h (endpoint_id, resting_until)
SELECT id, clock_timestamp() + make_interval(secs => $2) FROM updated
ON CONFLICT (endpoint_id) DO UPDATE SET resting_until = greatest(h.resting_until, excluded.resting_until)
