-- $1 delivery. People's changes to one delivery happen one after another, until the end of the transaction.
-- A row, as any login of the database can take an advisory lock and keep it.
SELECT 1 FROM dispatcher.delivery_turns WHERE turn = ($1::bigint & 255)::smallint FOR UPDATE
