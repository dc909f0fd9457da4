-- $1 id  $2 reason  $3 the URL that it is about, or NULL for any. No row: it was already disabled,
-- or has another URL by now.
--
-- An event is emitted if a webhook subscribes to `endpoint.disabled` by name. It is in the same
-- statement, so that both are committed or neither is. So is the entry of the audit log.
WITH next AS (
  UPDATE dispatcher.endpoint_version SET version = version + 1 RETURNING version
), disabled AS (
  UPDATE dispatcher.endpoints e SET active = false, disabled_reason = $2, updated_at = now(), version = next.version
  FROM next WHERE e.id = $1 AND e.active AND ($3::text IS NULL OR e.url = $3) RETURNING e.id, e.environment_id, e.url
), emitted AS (
  INSERT INTO dispatcher.events (environment_id, type, data, source)
  SELECT d.environment_id, 'endpoint.disabled',
         row_to_json((SELECT r FROM (SELECT d.id AS webhook_id, d.url, $2::text AS reason) AS r)), 'dispatcher'
  FROM disabled d
  WHERE EXISTS (SELECT 1 FROM dispatcher.subscriptions s WHERE s.environment_id = d.environment_id AND s.pattern = 'endpoint.disabled')
), noted AS (
  INSERT INTO dispatcher.audit (environment_id, actor, action, subject, detail)
  SELECT d.environment_id, 'dispatcher', 'webhook.update', d.id::text,
         json_build_object('changed', json_build_array('active'), 'active', false, 'before', json_build_object('active', true),
                           'reason', $2::text)
  FROM disabled d
)
SELECT environment_id, url FROM disabled
