-- $1 version that was already applied
--
-- The counter is read first. A change between the two reads is returned again next time, never
-- lost. Daemons ask this each second, so it also tells them whether environments share the slots.
SELECT (SELECT version FROM dispatcher.endpoint_version) AS version,
       ARRAY(SELECT id FROM dispatcher.endpoints WHERE version > $1) AS changed,
       (SELECT count(*) > 1 FROM (SELECT 1 FROM dispatcher.environments LIMIT 2) AS e) AS has_several_environments
