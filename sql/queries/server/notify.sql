-- $1 channel. The notification has no payload, because listeners read the tables.
SELECT pg_notify($1, '')
