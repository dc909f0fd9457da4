-- Return our triggers that do not fire when they should: disabled, in the wrong role, or dropped. event_replicated
-- fires in the replica role. It is not returned if people have disabled it, as they may do so on purpose. It is
-- returned after ENABLE TRIGGER ALL, because then it fires for an application's inserts alone.
WITH wanted AS MATERIALIZED (
  SELECT w.name, w.fires || CASE WHEN w.name = 'event_replicated' AND t.tgenabled = 'D' THEN 'D' ELSE '' END AS fires, t.tgenabled
  FROM (VALUES ('event_checked', 'OA'), ('events_inserted', 'OA'), ('event_replicated', 'RA')) AS w(name, fires)
  LEFT JOIN pg_trigger t ON t.tgrelid = 'dispatcher.events'::regclass AND t.tgname = w.name
)
SELECT name || CASE WHEN tgenabled IS NULL THEN ' (dropped)' ELSE '' END AS name
FROM wanted WHERE tgenabled IS NULL OR strpos(fires, tgenabled::text) = 0
UNION ALL
SELECT t.tgname || ' on ' || c.relname
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_trigger t ON t.tgrelid = c.oid JOIN wanted w ON w.name = t.tgname
WHERE i.inhparent = 'dispatcher.events'::regclass AND t.tgname IN ('event_checked', 'event_replicated') AND strpos(w.fires, t.tgenabled::text) = 0
ORDER BY 1
