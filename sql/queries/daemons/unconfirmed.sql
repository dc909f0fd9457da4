-- $1 version. Daemons that may still start a send and have not acted on it.
SELECT count(*) AS unconfirmed FROM dispatcher.daemons
WHERE confirmed_version < $1 AND abs(extract(epoch FROM clock_timestamp() - renewed_at)) < 1.2
