-- $1 environment, or '*' for all  $2 seconds of a stored bucket: 10 or 600  $3 seconds of a point
-- $4 number of points
--
-- Points without attempts are left out. The last point is unfinished.
SELECT date_bin(make_interval(secs => $3), s.bucket, 'epoch') AS at,
       sum(s.attempts)::bigint AS attempts, sum(s.failed_attempts)::bigint AS failed_attempts, sum(s.delivered)::bigint AS delivered,
       sum(s.failed)::bigint AS failed,
       ARRAY[sum(s.durations[1]), sum(s.durations[2]), sum(s.durations[3]), sum(s.durations[4]), sum(s.durations[5]), sum(s.durations[6]), sum(s.durations[7]),
             sum(s.durations[8]), sum(s.durations[9]), sum(s.durations[10]), sum(s.durations[11]), sum(s.durations[12]), sum(s.durations[13]), sum(s.durations[14]),
             sum(s.durations[15]), sum(s.durations[16]), sum(s.durations[17]), sum(s.durations[18]), sum(s.durations[19]), sum(s.durations[20]), sum(s.durations[21]),
             sum(s.durations[22]), sum(s.durations[23]), sum(s.durations[24]), sum(s.durations[25]), sum(s.durations[26])]::bigint[] AS durations
FROM dispatcher.environment_statistics s
WHERE s.environment_id = $1 AND s.span = $2
  AND s.bucket >= date_bin(make_interval(secs => $3), now(), 'epoch') - ($4 - 1) * make_interval(secs => $3)
GROUP BY 1 ORDER BY 1
