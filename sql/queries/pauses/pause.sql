-- $1 environment, or NULL for all  $2 version. No row: there is no such environment, or it is
-- paused.
--
-- The endpoints get the new version, so that every daemon stops sending to them.
WITH all_of_them AS (
  UPDATE dispatcher.settings SET paused_at = now() WHERE $1::text IS NULL AND paused_at IS NULL RETURNING 1
), one AS (
  UPDATE dispatcher.environments SET paused_at = now() WHERE id = $1 AND paused_at IS NULL RETURNING 1
), paused AS (
  SELECT * FROM all_of_them UNION ALL SELECT * FROM one
), updated AS (
  UPDATE dispatcher.endpoints SET version = $2
  -- in the order of delivery_actions/enqueue.sql; otherwise the two could deadlock
  WHERE id = ANY (ARRAY(
    SELECT id FROM dispatcher.endpoints
    WHERE EXISTS (SELECT 1 FROM paused) AND deleted_at IS NULL AND ($1::text IS NULL OR environment_id = $1)
    ORDER BY id FOR NO KEY UPDATE))
)
SELECT * FROM paused
