-- $1 pending delivery  $2 endpoint
--
-- Return the first pending delivery of an ordered endpoint, which blocks those behind it. No row: nothing blocks $1.
SELECT first.id
FROM (SELECT id FROM dispatcher.endpoints WHERE id = $2 AND ordered OFFSET 0) AS e
CROSS JOIN LATERAL dispatcher.pending_ids(ARRAY[e.id], 1, 1) AS first(id)
WHERE first.id < $1
