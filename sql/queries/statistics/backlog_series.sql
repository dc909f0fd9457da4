-- $1 environment, or '*' for all  $2 seconds of a point  $3 number of points
--
-- Return the largest sample of each point. Points without any sample of '*' are left out: no daemon ran.
-- Where only the environment has none, nothing of it was pending.
SELECT date_bin(make_interval(secs => $2), a.bucket, 'epoch') AS at, max(coalesce(s.due, 0))::bigint AS due,
       max(coalesce(s.scheduled, 0))::bigint AS scheduled, max(coalesce(s.held, 0))::bigint AS held,
       max(coalesce(s.lag_seconds, 0))::float8 AS lag_seconds
FROM dispatcher.backlog_samples a LEFT JOIN dispatcher.backlog_samples s ON s.environment_id = $1 AND s.bucket = a.bucket
WHERE a.environment_id = '*' AND a.bucket >= date_bin(make_interval(secs => $2), now(), 'epoch') - ($3 - 1) * make_interval(secs => $2)
GROUP BY 1 ORDER BY 1
