-- $1 version already acted on. The counter is read first: what changes in between is seen again next time.
SELECT (SELECT version FROM dispatcher.endpoint_version) AS version,
       ARRAY(SELECT id FROM dispatcher.endpoints WHERE version > $1) AS changed
