-- $1 event
--
-- Return the place where it waits, or NULL.
SELECT CASE WHEN EXISTS (SELECT 1 FROM dispatcher.inbox WHERE id = $1) THEN 'inbox'
            WHEN EXISTS (SELECT 1 FROM dispatcher.unvalidated_events WHERE id = $1) THEN 'schema_check'
            WHEN EXISTS (SELECT 1 FROM dispatcher.quarantine WHERE id = $1) THEN 'quarantine' END AS place
