-- $1 daemon id  $2 the endpoint version it has applied, the largest bigint while it drains: then it
-- starts no send, so no change has to wait for it. No row: the daemon was removed as dead, or this is
-- not the session that joined.
--
-- One heartbeat row a daemon counts for all its shards. The answer has all that a daemon must know
-- to go on sending: its shards, the endpoint version, the heartbeats of the other daemons and
-- whether they drain (as arrays with one element a daemon), and whether there are change notices for
-- its shards. A row written by a transaction before `horizon` was written before this heartbeat.
UPDATE dispatcher.daemons SET renewed_at = clock_timestamp(), renewals = renewals + 1, confirmed_version = $2
WHERE id = $1 AND backend_pid = pg_backend_pid()
RETURNING extract(epoch FROM clock_timestamp())::float8 AS now,
  (SELECT version FROM dispatcher.endpoint_version) AS version,
  ARRAY(SELECT shard FROM dispatcher.shards WHERE owner = $1) AS shards,
  EXISTS (SELECT 1 FROM dispatcher.change_notices WHERE shard = ANY (ARRAY(SELECT shard FROM dispatcher.shards WHERE owner = $1))) AS has_change_notices,
  ARRAY(SELECT id FROM dispatcher.daemons WHERE id <> $1 ORDER BY id) AS ids,
  ARRAY(SELECT o.renewals FROM dispatcher.daemons o WHERE o.id <> $1 ORDER BY o.id) AS counts,
  ARRAY(SELECT extract(epoch FROM clock_timestamp() - o.renewed_at)::float8 FROM dispatcher.daemons o WHERE o.id <> $1 ORDER BY o.id) AS ages,
  ARRAY(SELECT o.confirmed_version = 9223372036854775807 FROM dispatcher.daemons o WHERE o.id <> $1 ORDER BY o.id) AS draining,
  pg_snapshot_xmax(pg_current_snapshot())::text AS horizon
