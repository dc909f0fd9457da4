-- $1 environment  $2 endpoints  $3 half hours  $4 largest count of pending deliveries
--
-- Only endpoints of the environment are returned. `slots` are numbers of half hours. The last one,
-- $3 - 1, is unfinished.
WITH requested AS MATERIALIZED (
  SELECT e.id FROM dispatcher.endpoints e WHERE e.id = ANY ($2::uuid[]) AND e.environment_id = $1
), since AS (
  SELECT date_bin('30 minutes', now(), 'epoch') - ($3 - 1) * interval '30 minutes' AS since
), sent AS (
  SELECT s.endpoint_id, array_agg(extract(epoch FROM s.bucket - n.since)::integer / 1800) AS slots,
         array_agg(s.attempts) AS attempts, array_agg(s.failed_attempts) AS failed_attempts,
         ARRAY[sum(s.durations[1]), sum(s.durations[2]), sum(s.durations[3]), sum(s.durations[4]), sum(s.durations[5]), sum(s.durations[6]), sum(s.durations[7]),
               sum(s.durations[8]), sum(s.durations[9]), sum(s.durations[10]), sum(s.durations[11]), sum(s.durations[12]), sum(s.durations[13]), sum(s.durations[14]),
               sum(s.durations[15]), sum(s.durations[16]), sum(s.durations[17]), sum(s.durations[18]), sum(s.durations[19]), sum(s.durations[20]), sum(s.durations[21]),
               sum(s.durations[22]), sum(s.durations[23]), sum(s.durations[24]), sum(s.durations[25]), sum(s.durations[26])]::bigint[] AS durations
  FROM since n CROSS JOIN requested a CROSS JOIN LATERAL (
    SELECT * FROM dispatcher.endpoint_statistics s
    WHERE s.endpoint_id = a.id AND s.bucket >= n.since ORDER BY s.bucket LIMIT $3) AS s
  GROUP BY s.endpoint_id
)
SELECT a.id, s.slots, s.attempts, s.failed_attempts, s.durations, dispatcher.count_pending(ARRAY[a.id], $4) AS pending
FROM requested a LEFT JOIN sent s ON s.endpoint_id = a.id
