-- $1 version that was already applied
--
-- The counter is read first. A change between the two reads is returned again next time, never
-- lost.
SELECT (SELECT version FROM dispatcher.endpoint_version) AS version,
       ARRAY(SELECT id FROM dispatcher.endpoints WHERE version > $1) AS changed
