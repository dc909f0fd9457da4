-- $1 ids of change notices
DELETE FROM dispatcher.change_notices WHERE id = ANY ($1::bigint[])
