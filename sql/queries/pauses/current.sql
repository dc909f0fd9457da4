-- $1 how many environments are named at most. `environment_id` NULL: all of them. `actor`: who paused it, if the
-- audit says so: the entry was written in the transaction that did it, a moment later; ids are rounded. A token is
-- named by its name.
SELECT p.environment_id, p.paused_at, a.actor
FROM (
  SELECT NULL::text AS environment_id, paused_at FROM dispatcher.settings WHERE paused_at IS NOT NULL
  UNION ALL
  (SELECT id, paused_at FROM dispatcher.environments WHERE paused_at IS NOT NULL ORDER BY id LIMIT $1)
) AS p
LEFT JOIN LATERAL (
  SELECT coalesce(t.name, d.actor) AS actor FROM dispatcher.audit d LEFT JOIN dispatcher.tokens t ON d.actor = 'token:' || t.id
  WHERE d.id >= dispatcher.id_floor(p.paused_at - interval '1 second') AND d.id < dispatcher.id_floor(p.paused_at + interval '10 seconds')
    AND d.action = 'sending.pause' AND d.subject = coalesce(p.environment_id, '*')
  ORDER BY d.id LIMIT 1
) AS a ON true
ORDER BY p.environment_id NULLS FIRST
