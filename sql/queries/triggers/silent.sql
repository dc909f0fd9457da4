-- Return our triggers that do not fire for an application's inserts: disabled, for replicas only,
-- or dropped.
SELECT w.name || CASE WHEN EXISTS (SELECT 1 FROM pg_trigger t WHERE t.tgrelid = 'dispatcher.events'::regclass AND t.tgname = w.name)
                 THEN '' ELSE ' (dropped)' END AS name
FROM (VALUES ('event_checked'), ('events_inserted')) AS w(name)
WHERE NOT EXISTS (SELECT 1 FROM pg_trigger t
                  WHERE t.tgrelid = 'dispatcher.events'::regclass AND t.tgname = w.name AND t.tgenabled IN ('O', 'A'))
UNION ALL
SELECT t.tgname || ' on ' || c.relname
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_trigger t ON t.tgrelid = c.oid
WHERE i.inhparent = 'dispatcher.events'::regclass AND t.tgname = 'event_checked' AND t.tgenabled NOT IN ('O', 'A')
ORDER BY 1
