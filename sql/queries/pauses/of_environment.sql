-- $1 environment. No row: there is no such environment.
--
-- The actor of a pause comes from the audit log, or is NULL if the entry is gone. The entry is
-- written in the transaction that began at `paused_at`. A token is shown by its name.
SELECT e.id, e.name, e.paused_at, s.paused_at AS all_paused_at,
       CASE WHEN e.paused_at IS NOT NULL THEN (
         SELECT coalesce(t.name, a.actor) FROM dispatcher.audit a LEFT JOIN dispatcher.tokens t ON a.actor = 'token:' || t.id
         WHERE a.environment_id = e.id AND a.action = 'sending.pause'
           AND a.id >= dispatcher.id_floor(e.paused_at - interval '1 s') AND a.id < dispatcher.id_floor(e.paused_at + interval '1 min')
         ORDER BY a.id DESC LIMIT 1) END AS paused_by,
       CASE WHEN s.paused_at IS NOT NULL THEN (
         SELECT coalesce(t.name, a.actor) FROM dispatcher.audit a LEFT JOIN dispatcher.tokens t ON a.actor = 'token:' || t.id
         WHERE a.environment_id IS NULL AND a.action = 'sending.pause'
           AND a.id >= dispatcher.id_floor(s.paused_at - interval '1 s') AND a.id < dispatcher.id_floor(s.paused_at + interval '1 min')
         ORDER BY a.id DESC LIMIT 1) END AS all_paused_by
FROM dispatcher.environments e CROSS JOIN dispatcher.settings s
WHERE e.id = $1
