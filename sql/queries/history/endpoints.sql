-- $1 environment  $2 endpoint, or NULL for all  $3 how many at the most. Deleted ones too: their history stays.
SELECT id FROM dispatcher.endpoints WHERE environment_id = $1 AND ($2::uuid IS NULL OR id = $2) LIMIT $3
