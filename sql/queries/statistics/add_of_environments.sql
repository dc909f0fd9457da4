-- $1 to $7 are arrays with one element for each environment ('*' for all): environment, attempts,
-- failed attempts, delivered, failed, milliseconds, durations. Rows are written in the order of the key.
-- Otherwise two daemons could deadlock.
INSERT INTO dispatcher.environment_statistics AS s (environment_id, span, bucket, attempts, failed_attempts, delivered, failed, duration_ms, durations)
SELECT n.environment_id, w.span, date_bin(make_interval(secs => w.span), now(), 'epoch'),
       n.attempts, n.failed_attempts, n.delivered, n.failed, n.duration_ms, n.durations::integer[]
FROM unnest($1::text[], $2::integer[], $3::integer[], $4::integer[], $5::integer[], $6::bigint[], $7::text[])
  AS n(environment_id, attempts, failed_attempts, delivered, failed, duration_ms, durations)
CROSS JOIN (VALUES (10), (600)) AS w(span)
ORDER BY n.environment_id, w.span
ON CONFLICT (environment_id, span, bucket) DO UPDATE SET
  attempts = s.attempts + excluded.attempts, failed_attempts = s.failed_attempts + excluded.failed_attempts,
  delivered = s.delivered + excluded.delivered, failed = s.failed + excluded.failed,
  duration_ms = s.duration_ms + excluded.duration_ms, durations = dispatcher.add_durations(s.durations, excluded.durations)
