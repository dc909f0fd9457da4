-- $1 delivery. Nudges whose shard nobody owns bother nobody: its next owner reads everything anew.
SELECT count(*) AS unheeded
FROM (SELECT shard FROM dispatcher.nudges WHERE delivery_id = $1 OFFSET 0) n
JOIN dispatcher.shards s USING (shard)
WHERE s.owner IS NOT NULL
