-- $1 delivery. People's changes to one delivery happen one after another, until the end of the transaction.
SELECT 1 FROM dispatcher.delivery_turns WHERE turn = ($1::bigint & 255)::smallint FOR UPDATE
