-- $1 version. Count the daemons that may still start a send and have not applied this endpoint
-- version.
SELECT count(*) AS outdated FROM dispatcher.daemons
WHERE confirmed_version < $1 AND abs(extract(epoch FROM clock_timestamp() - renewed_at)) < 1.2
