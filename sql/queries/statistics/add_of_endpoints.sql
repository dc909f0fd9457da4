-- $1 to $7 are arrays with one element for each endpoint: endpoint, attempts, failed attempts,
-- delivered, failed, milliseconds, durations. Rows are written in the order of the key. Otherwise two
-- daemons could deadlock.
INSERT INTO dispatcher.endpoint_statistics AS s (endpoint_id, bucket, attempts, failed_attempts, delivered, failed, duration_ms, durations)
SELECT n.endpoint_id, date_bin('30 minutes', now(), 'epoch'),
       n.attempts, n.failed_attempts, n.delivered, n.failed, n.duration_ms, n.durations::integer[]
FROM unnest($1::uuid[], $2::integer[], $3::integer[], $4::integer[], $5::integer[], $6::bigint[], $7::text[])
  AS n(endpoint_id, attempts, failed_attempts, delivered, failed, duration_ms, durations)
ORDER BY n.endpoint_id
ON CONFLICT (endpoint_id, bucket) DO UPDATE SET
  attempts = s.attempts + excluded.attempts, failed_attempts = s.failed_attempts + excluded.failed_attempts,
  delivered = s.delivered + excluded.delivered, failed = s.failed + excluded.failed,
  duration_ms = s.duration_ms + excluded.duration_ms, durations = dispatcher.add_durations(s.durations, excluded.durations)
