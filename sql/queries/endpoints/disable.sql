-- $1 id  $2 reason. No row: it was already disabled.
--
-- An event is emitted if a webhook subscribes to `endpoint.disabled` by name. It is in the same
-- statement, so that both are committed or neither is.
WITH next AS (
  UPDATE dispatcher.endpoint_version SET version = version + 1 RETURNING version
), disabled AS (
  UPDATE dispatcher.endpoints e SET active = false, disabled_reason = $2, updated_at = now(), version = next.version
  FROM next WHERE e.id = $1 AND e.active RETURNING e.id, e.environment_id, e.url
), emitted AS (
  INSERT INTO dispatcher.events (environment_id, type, data, source)
  SELECT d.environment_id, 'endpoint.disabled',
         row_to_json((SELECT r FROM (SELECT d.id AS webhook_id, d.url, $2::text AS reason) AS r)), 'dispatcher'
  FROM disabled d
  WHERE EXISTS (SELECT 1 FROM dispatcher.subscriptions s WHERE s.environment_id = d.environment_id AND s.pattern = 'endpoint.disabled')
)
SELECT environment_id, url FROM disabled
