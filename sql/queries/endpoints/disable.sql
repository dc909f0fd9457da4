-- $1 id  $2 reason. Returns nothing when somebody was quicker.
WITH bumped AS (
  UPDATE dispatcher.endpoint_version SET version = version + 1 RETURNING version
)
UPDATE dispatcher.endpoints e SET active = false, disabled_reason = $2, updated_at = now(), version = bumped.version
FROM bumped WHERE e.id = $1 AND e.active RETURNING e.environment_id, e.url
