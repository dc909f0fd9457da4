-- $1 delivery. Nudges whose shard nobody owns bother nobody: its next owner reads everything anew.
SELECT count(*) AS unheeded
FROM dispatcher.nudges n JOIN dispatcher.shards s USING (shard)
WHERE n.delivery_id = $1 AND s.owner IS NOT NULL
