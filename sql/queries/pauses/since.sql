-- $1 environment, or NULL for all of them. No row: there is no such environment.
SELECT paused_at FROM dispatcher.settings WHERE $1::text IS NULL
UNION ALL
SELECT paused_at FROM dispatcher.environments WHERE id = $1
