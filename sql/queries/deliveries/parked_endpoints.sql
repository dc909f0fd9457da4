-- $1 first endpoint id  $2 last endpoint id. List endpoints with parked deliveries. It jumps from one
-- endpoint to the next in the index, so the number of rows of an endpoint does not matter. ORDER BY
-- names all columns of that index, so that the planner uses no other one.
WITH RECURSIVE hop AS (
  (SELECT endpoint_id FROM dispatcher.deliveries
   WHERE parked AND endpoint_id >= $1::uuid AND endpoint_id <= $2::uuid ORDER BY endpoint_id, shard, next_at LIMIT 1)
  UNION ALL
  SELECT (SELECT d.endpoint_id FROM dispatcher.deliveries d
          WHERE d.parked AND d.endpoint_id > hop.endpoint_id AND d.endpoint_id <= $2 ORDER BY d.endpoint_id, d.shard, d.next_at LIMIT 1)
  FROM hop WHERE hop.endpoint_id IS NOT NULL
)
SELECT endpoint_id FROM hop WHERE endpoint_id IS NOT NULL
