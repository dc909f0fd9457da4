-- $1 ids of change notices
DELETE FROM dispatcher.nudges WHERE id = ANY ($1::bigint[])
