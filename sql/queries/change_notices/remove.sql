-- $1 ids of nudges
DELETE FROM dispatcher.nudges WHERE id = ANY ($1::bigint[])
