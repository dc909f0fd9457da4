-- $1 event
--
-- Return the place where it waits for its fan-out, or NULL. `unexamined` waits for the schema
-- check.
SELECT CASE WHEN EXISTS (SELECT 1 FROM dispatcher.inbox WHERE id = $1) THEN 'inbox'
            WHEN EXISTS (SELECT 1 FROM dispatcher.unvalidated_events WHERE id = $1) THEN 'unexamined'
            WHEN EXISTS (SELECT 1 FROM dispatcher.quarantine WHERE id = $1) THEN 'quarantine' END AS place
