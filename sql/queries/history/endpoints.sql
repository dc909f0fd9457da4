-- $1 environment  $2 endpoint, or NULL for all  $3 most rows
--
-- Deleted endpoints are included, because their history stays.
SELECT id FROM dispatcher.endpoints WHERE environment_id = $1 AND ($2::uuid IS NULL OR id = $2) LIMIT $3
