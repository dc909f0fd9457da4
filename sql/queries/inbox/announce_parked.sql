-- $1 channel. The notification has no payload, because the daemons read the table.
SELECT pg_notify($1, '')
