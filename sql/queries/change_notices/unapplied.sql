-- $1 delivery. Count its change notices that are not applied yet. Notices for shards without an
-- owner do not count: the next owner reads the whole shard.
SELECT count(*) AS unapplied
FROM (SELECT shard FROM dispatcher.change_notices WHERE delivery_id = $1 OFFSET 0) n
JOIN dispatcher.shards s USING (shard)
WHERE s.owner IS NOT NULL
