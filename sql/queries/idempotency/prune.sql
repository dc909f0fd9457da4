-- Delete old responses. $1 age in seconds  $2 most rows
DELETE FROM dispatcher.idempotent_responses
WHERE ctid = ANY (ARRAY(SELECT ctid FROM dispatcher.idempotent_responses
                        WHERE responded_at < now() - make_interval(secs => $1) ORDER BY responded_at LIMIT $2))
RETURNING 1
