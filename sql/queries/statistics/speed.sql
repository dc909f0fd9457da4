-- $1 environment, or '*' for all
--
-- Return how many deliveries the last minute had: five full buckets of ten seconds and the current
-- one. Also return how many seconds that is, and the current time.
SELECT coalesce(sum(s.delivered), 0)::bigint AS delivered, extract(epoch FROM n.now - n.since)::float8 AS seconds, n.now
FROM (SELECT now() AS now, date_bin('10 seconds', now(), 'epoch') - interval '50 seconds' AS since) AS n
LEFT JOIN dispatcher.environment_statistics s ON s.environment_id = $1 AND s.span = 10 AND s.bucket >= n.since
GROUP BY n.now, n.since
