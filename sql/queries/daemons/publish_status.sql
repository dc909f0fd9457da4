-- $1 daemon id  $2 its status as JSON. Store the status.
INSERT INTO dispatcher.daemon_status (daemon_id, status, published_at) VALUES ($1, $2, clock_timestamp())
ON CONFLICT (daemon_id) DO UPDATE SET status = excluded.status, published_at = excluded.published_at
