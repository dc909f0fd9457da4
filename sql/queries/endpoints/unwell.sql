-- $1 environment, or NULL for all  $2 most rows  $3 attempts with ids above this one. Without it the
-- partitions of all days would be locked
--
-- Return active endpoints that only fail, and those that the daemon disabled, with what went wrong last:
-- of the oldest pending delivery that was tried, else of the newest failure of the last day. `number` is
-- how many such endpoints there are.
WITH unwell AS MATERIALIZED (
  SELECT e.id, e.environment_id, e.name, e.active, e.disabled_reason, h.failing_since, h.failures
  FROM dispatcher.endpoints e LEFT JOIN dispatcher.endpoint_health h ON h.endpoint_id = e.id
  WHERE e.deleted_at IS NULL AND ($1::text IS NULL OR e.environment_id = $1)
    AND CASE WHEN e.active THEN h.failing_since IS NOT NULL ELSE e.disabled_reason IS NOT NULL END
), shown AS MATERIALIZED (
  SELECT * FROM unwell ORDER BY active DESC, failing_since NULLS LAST, id LIMIT $2
)
SELECT s.id, s.environment_id, s.name, s.active, s.disabled_reason, s.failing_since, (SELECT count(*) FROM unwell) AS number,
       dispatcher.count_pending(ARRAY[s.id], 1001) AS pending,
       coalesce(t.status, f.status) AS status, coalesce(t.outcome, f.outcome) AS outcome, coalesce(t.error, f.error) AS error
FROM shown s LEFT JOIN LATERAL (
  SELECT last.status, last.outcome, last.error
  FROM (SELECT d.id FROM dispatcher.pending_ids(ARRAY[s.id], 100, 100) AS p(id)
        CROSS JOIN LATERAL (SELECT id, attempt FROM dispatcher.deliveries WHERE id = p.id OFFSET 0) AS d
        WHERE d.attempt > 0 LIMIT 1) AS tried
  CROSS JOIN LATERAL (
    SELECT a.* FROM (SELECT id, status, outcome, error FROM dispatcher.attempts
                     WHERE delivery_id = tried.id AND id > tried.id AND id > $3 OFFSET 0) AS a
    ORDER BY a.id DESC LIMIT 1) AS last
) AS t ON true LEFT JOIN LATERAL (
  SELECT n.status, n.outcome, n.error
  FROM dispatcher.failures(s.environment_id, s.id, 9223372036854775807, dispatcher.id_floor(now() - interval '1 day'), 1, NULL) AS n
  WHERE t.outcome IS NULL LIMIT 1
) AS f ON true
ORDER BY s.active DESC, s.failing_since NULLS LAST, s.id
