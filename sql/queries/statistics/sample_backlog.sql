-- $1 most deliveries of each kind to read
--
-- Keep how much is pending now, of each environment with anything pending, and of all ('*'). One daemon
-- a minute does it; the others find the rows of that minute.
WITH pending AS MATERIALIZED (
  SELECT environment_id, state, deliveries, oldest FROM dispatcher.pending_by_state($1)
  WHERE NOT EXISTS (SELECT 1 FROM dispatcher.backlog_samples WHERE environment_id = '*' AND bucket = date_bin('1 minute', now(), 'epoch'))
), samples AS (
  SELECT environment_id, sum(deliveries) FILTER (WHERE state = 'due') AS due, sum(deliveries) FILTER (WHERE state = 'scheduled') AS scheduled,
         sum(deliveries) FILTER (WHERE state = 'held') AS held, min(oldest) AS oldest
  FROM pending GROUP BY GROUPING SETS ((environment_id), ())
)
INSERT INTO dispatcher.backlog_samples (environment_id, bucket, due, scheduled, held, lag_seconds)
SELECT coalesce(environment_id, '*'), date_bin('1 minute', now(), 'epoch'), coalesce(due, 0), coalesce(scheduled, 0), coalesce(held, 0),
       coalesce(greatest(extract(epoch FROM now() - oldest), 0), 0)
FROM samples ORDER BY 1
ON CONFLICT DO NOTHING
