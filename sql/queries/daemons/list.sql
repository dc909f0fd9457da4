-- List all daemons, those with the most shards first. `silence` and `facts_age` (of the status) are
-- in seconds.
SELECT d.id, extract(epoch FROM clock_timestamp() - d.renewed_at)::float8 AS silence,
       ARRAY(SELECT s.shard FROM dispatcher.shards s WHERE s.owner = d.id ORDER BY s.shard) AS shards,
       f.facts::text AS facts,
       f.facts_at - (f.facts->>'up')::float8 * interval '1 s' AS started_at, extract(epoch FROM clock_timestamp() - f.facts_at)::float8 AS facts_age
FROM dispatcher.daemons d LEFT JOIN dispatcher.daemon_facts f ON f.daemon_id = d.id
ORDER BY cardinality(ARRAY(SELECT s.shard FROM dispatcher.shards s WHERE s.owner = d.id)) DESC, d.id
