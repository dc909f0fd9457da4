-- $1 endpoint ids that were failing
UPDATE dispatcher.endpoint_health SET failing_since = NULL, failed_at = NULL, failures = 0
WHERE endpoint_id = ANY (ARRAY(
  SELECT endpoint_id FROM dispatcher.endpoint_health
  WHERE endpoint_id = ANY ($1::uuid[]) AND failing_since IS NOT NULL ORDER BY endpoint_id FOR UPDATE))
