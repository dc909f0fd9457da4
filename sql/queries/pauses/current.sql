-- $1 most environments to list  $2 environments to list first, if they are paused
--
-- `environment_id` NULL is the pause of all environments.
--
-- `actor` comes from the audit log, or is NULL if there is no entry. The entry is written in the
-- transaction of the pause, shortly after `paused_at`, and ids are rounded, so a span of ids is
-- searched. The last entry in it is that of this pause. A token is shown by its name.
SELECT p.environment_id, p.paused_at, a.actor
FROM (
  SELECT NULL::text AS environment_id, paused_at FROM dispatcher.settings WHERE paused_at IS NOT NULL
  UNION ALL
  (SELECT id, paused_at FROM dispatcher.environments WHERE paused_at IS NOT NULL ORDER BY id <> ALL ($2::text[]), id LIMIT $1)
) AS p
LEFT JOIN LATERAL (
  SELECT coalesce(t.name, d.actor) AS actor FROM dispatcher.audit d LEFT JOIN dispatcher.tokens t ON d.actor = 'token:' || t.id
  WHERE d.id >= dispatcher.id_floor(p.paused_at - interval '1 second') AND d.id < dispatcher.id_floor(p.paused_at + interval '1 minute')
    AND d.action = 'sending.pause' AND d.subject = coalesce(p.environment_id, '*')
  ORDER BY d.id DESC LIMIT 1
) AS a ON true
ORDER BY p.environment_id NULLS FIRST
