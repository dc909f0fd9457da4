-- $1 older than so many seconds  $2 how many
DELETE FROM dispatcher.answered
WHERE ctid = ANY (ARRAY(SELECT ctid FROM dispatcher.answered
                        WHERE answered_at < now() - make_interval(secs => $1) ORDER BY answered_at LIMIT $2))
RETURNING 1
