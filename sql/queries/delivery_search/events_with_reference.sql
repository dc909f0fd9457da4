-- $1 environment  $2 reference  $3 most events
--
-- Return the newest events with this reference. The compared pairs have the order of one index only.
SELECT id FROM dispatcher.events
WHERE reference IS NOT NULL AND (environment_id, reference, id) > ($1, $2, 0) AND (environment_id, reference, id) < ($1, $2, 9223372036854775807)
ORDER BY environment_id DESC, reference DESC, id DESC LIMIT $3
