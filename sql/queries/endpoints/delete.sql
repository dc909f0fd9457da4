-- $1 id  $2 version
--
-- The daemon cancels the pending deliveries. The previous secret, the headers and the
-- credentials are deleted at once.
WITH gone AS (
  UPDATE dispatcher.endpoints
  SET deleted_at = now(), updated_at = now(), active = false, version = $2, previous_secret = NULL, previous_until = NULL, headers = NULL,
      authentication = NULL, authentication_sealed = NULL, tls = NULL, tls_sealed = NULL
  WHERE id = $1
)
DELETE FROM dispatcher.subscriptions WHERE endpoint_id = $1
