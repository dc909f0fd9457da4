-- $1 environment  $2 endpoints  $3 half hours  $4 how many pending ones are counted. The rows of the
-- endpoints that the environment has; half hours by their number, the last one, unfinished, being $3 - 1.
WITH asked AS MATERIALIZED (
  SELECT e.id FROM dispatcher.endpoints e WHERE e.id = ANY ($2::uuid[]) AND e.environment_id = $1
), since AS (
  SELECT date_bin('30 minutes', now(), 'epoch') - ($3 - 1) * interval '30 minutes' AS since
), slots AS (
  SELECT s.endpoint_id, (extract(epoch FROM s.bucket - n.since)::integer / 1800) AS slot,
         sum(s.attempts) AS attempts, sum(s.failures) AS failures,
         ARRAY[sum(s.durations[1]), sum(s.durations[2]), sum(s.durations[3]), sum(s.durations[4]), sum(s.durations[5]), sum(s.durations[6]), sum(s.durations[7]),
               sum(s.durations[8]), sum(s.durations[9]), sum(s.durations[10]), sum(s.durations[11]), sum(s.durations[12]), sum(s.durations[13]), sum(s.durations[14]),
               sum(s.durations[15]), sum(s.durations[16]), sum(s.durations[17]), sum(s.durations[18]), sum(s.durations[19]), sum(s.durations[20]), sum(s.durations[21]),
               sum(s.durations[22]), sum(s.durations[23]), sum(s.durations[24]), sum(s.durations[25]), sum(s.durations[26])]::bigint[] AS durations
  FROM since n CROSS JOIN asked a JOIN dispatcher.endpoint_statistics s ON s.endpoint_id = a.id AND s.bucket >= n.since
  GROUP BY 1, 2
), sent AS (
  SELECT endpoint_id, array_agg(slot) AS slots, array_agg(attempts) AS attempts, array_agg(failures) AS failures,
         ARRAY[sum(durations[1]), sum(durations[2]), sum(durations[3]), sum(durations[4]), sum(durations[5]), sum(durations[6]), sum(durations[7]),
               sum(durations[8]), sum(durations[9]), sum(durations[10]), sum(durations[11]), sum(durations[12]), sum(durations[13]), sum(durations[14]),
               sum(durations[15]), sum(durations[16]), sum(durations[17]), sum(durations[18]), sum(durations[19]), sum(durations[20]), sum(durations[21]),
               sum(durations[22]), sum(durations[23]), sum(durations[24]), sum(durations[25]), sum(durations[26])]::bigint[] AS durations
  FROM slots GROUP BY endpoint_id
)
SELECT a.id, s.slots::integer[] AS slots, s.attempts::bigint[] AS attempts, s.failures::bigint[] AS failures, s.durations,
       (SELECT count(*) FROM (SELECT 1 FROM dispatcher.deliveries d WHERE d.endpoint_id = a.id LIMIT $4) AS few) AS pending
FROM asked a LEFT JOIN sent s ON s.endpoint_id = a.id
