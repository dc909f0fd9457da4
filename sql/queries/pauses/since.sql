-- $1 environment, or NULL for all of them. No row: there is no such environment. `all_paused_at`: of all of them.
SELECT paused_at, paused_at AS all_paused_at FROM dispatcher.settings WHERE $1::text IS NULL
UNION ALL
SELECT e.paused_at, s.paused_at FROM dispatcher.environments e CROSS JOIN dispatcher.settings s WHERE e.id = $1
