-- $1 id  $2 environment, or NULL for any. Its pending deliveries are cancelled by the daemon.
WITH bumped AS (
  UPDATE dispatcher.endpoint_version SET version = version + 1 RETURNING version
), gone AS (
  UPDATE dispatcher.endpoints e SET deleted_at = now(), updated_at = now(), active = false, version = bumped.version
  FROM bumped WHERE e.id = $1 AND e.deleted_at IS NULL AND ($2::text IS NULL OR e.environment_id = $2) RETURNING e.id
), unsubscribed AS (
  DELETE FROM dispatcher.subscriptions s USING gone WHERE s.endpoint_id = gone.id
)
SELECT id FROM gone
