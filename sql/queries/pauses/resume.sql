-- $1 environment, or NULL for all  $2 version. No row: there is no such environment, or it is not
-- paused.
--
-- For failing endpoints, the time without success that counts toward disabling them starts again.
-- Otherwise the pause would count too.
WITH all_of_them AS (
  UPDATE dispatcher.settings SET paused_at = NULL, resumed_at = now() WHERE $1::text IS NULL AND paused_at IS NOT NULL RETURNING 1
), one AS (
  UPDATE dispatcher.environments SET paused_at = NULL WHERE id = $1 AND paused_at IS NOT NULL RETURNING 1
), resumed AS (
  SELECT * FROM all_of_them UNION ALL SELECT * FROM one
), updated AS (
  UPDATE dispatcher.endpoints SET version = $2
  WHERE id = ANY (ARRAY(                    -- see pause.sql
    SELECT id FROM dispatcher.endpoints
    WHERE EXISTS (SELECT 1 FROM resumed) AND deleted_at IS NULL AND ($1::text IS NULL OR environment_id = $1)
    ORDER BY id FOR NO KEY UPDATE))
  RETURNING id
), restarted AS (
  UPDATE dispatcher.endpoint_health SET counted_since = now()
  -- in the order of note_failures.sql; otherwise the two could deadlock
  WHERE endpoint_id = ANY (ARRAY(
    SELECT endpoint_id FROM dispatcher.endpoint_health
    WHERE failing_since IS NOT NULL AND endpoint_id IN (SELECT id FROM updated) ORDER BY endpoint_id FOR UPDATE))
)
SELECT * FROM resumed
