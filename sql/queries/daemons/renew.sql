-- $1 daemon id  $2 the endpoint version it has acted on. No row: it was taken for dead and removed, or this is
-- not the session that joined.
--
-- One heartbeat row a daemon stands for all its shards. What a daemon must know to go on sending
-- comes back in the same answer: what it owns, whether endpoints changed, the heartbeats of the others (as arrays,
-- an element a daemon), and whether somebody changed a delivery of its shards. Rows older than `horizon` were
-- written before this heartbeat.
UPDATE dispatcher.daemons SET renewed_at = clock_timestamp(), renewals = renewals + 1, confirmed_version = $2
WHERE id = $1 AND backend_pid = pg_backend_pid()
RETURNING extract(epoch FROM clock_timestamp())::float8 AS now,
  (SELECT version FROM dispatcher.endpoint_version) AS version,
  ARRAY(SELECT shard FROM dispatcher.shards WHERE owner = $1) AS shards,
  EXISTS (SELECT 1 FROM dispatcher.nudges WHERE shard = ANY (ARRAY(SELECT shard FROM dispatcher.shards WHERE owner = $1))) AS nudged,
  ARRAY(SELECT id FROM dispatcher.daemons WHERE id <> $1 ORDER BY id) AS ids,
  ARRAY(SELECT o.renewals FROM dispatcher.daemons o WHERE o.id <> $1 ORDER BY o.id) AS counts,
  ARRAY(SELECT extract(epoch FROM clock_timestamp() - o.renewed_at)::float8 FROM dispatcher.daemons o WHERE o.id <> $1 ORDER BY o.id) AS ages,
  pg_snapshot_xmax(pg_current_snapshot())::text AS horizon
