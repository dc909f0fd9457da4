-- Return the smallest id of each day partition of attempts and events, the latest first. The
-- catalog of PostgreSQL is read, so no partition is locked.
SELECT DISTINCT dispatcher.id_floor(to_date(right(c.relname, 8), 'YYYYMMDD')::timestamp AT TIME ZONE 'UTC') AS low
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent IN ('dispatcher.attempts'::regclass, 'dispatcher.events'::regclass) AND c.relname ~ '_\d{8}$'
ORDER BY low DESC
