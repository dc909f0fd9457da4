-- $1 ids. Unknown ids have no row.
SELECT id, name FROM dispatcher.environments WHERE id = ANY ($1::text[])
