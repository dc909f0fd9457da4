-- $1 environment  $2 reference  $3 ids below this one  $4 ids from this one on  $5 most events
--
-- Return the newest events with this reference.
SELECT id FROM dispatcher.events_with_reference($1, $2, $3, $4, $5::integer) AS found(id)
