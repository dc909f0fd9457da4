-- List all daemons, those with the most shards first. `silence` and `status_age` are in seconds.
SELECT d.id, extract(epoch FROM clock_timestamp() - d.renewed_at)::float8 AS silence,
       ARRAY(SELECT s.shard FROM dispatcher.shards s WHERE s.owner = d.id ORDER BY s.shard) AS shards,
       p.status::text AS status, p.published_at - (p.status->>'up')::float8 * interval '1 s' AS started_at,
       extract(epoch FROM clock_timestamp() - p.published_at)::float8 AS status_age
FROM dispatcher.daemons d LEFT JOIN dispatcher.daemon_status p ON p.daemon_id = d.id
ORDER BY cardinality(ARRAY(SELECT s.shard FROM dispatcher.shards s WHERE s.owner = d.id)) DESC, d.id
