-- Endpoints with parked deliveries: hops from one to the next in the index, whatever their number of rows.
-- The order is all of that index's: no other index has it.
WITH RECURSIVE hop AS (
  (SELECT endpoint_id FROM dispatcher.deliveries WHERE parked ORDER BY endpoint_id, shard, next_at LIMIT 1)
  UNION ALL
  SELECT (SELECT d.endpoint_id FROM dispatcher.deliveries d
          WHERE d.parked AND d.endpoint_id > hop.endpoint_id ORDER BY d.endpoint_id, d.shard, d.next_at LIMIT 1)
  FROM hop WHERE hop.endpoint_id IS NOT NULL
)
SELECT endpoint_id FROM hop WHERE endpoint_id IS NOT NULL
