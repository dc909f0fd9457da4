-- $1 most rows of each kind. Delete statistics that are older than any report reads.
WITH of_endpoints AS (
  DELETE FROM dispatcher.endpoint_statistics
  WHERE ctid = ANY (ARRAY(SELECT ctid FROM dispatcher.endpoint_statistics
                          WHERE bucket < now() - interval '8 days' ORDER BY bucket LIMIT $1))
  RETURNING 1
), of_environments AS (
  DELETE FROM dispatcher.environment_statistics
  WHERE ctid = ANY (ARRAY(SELECT ctid FROM dispatcher.environment_statistics
                          WHERE span = 600 AND bucket < now() - interval '8 days' ORDER BY bucket LIMIT $1))
  RETURNING 1
), of_late AS (
  DELETE FROM dispatcher.environment_statistics
  WHERE ctid = ANY (ARRAY(SELECT ctid FROM dispatcher.environment_statistics
                          WHERE span = 10 AND bucket < now() - interval '3 hours' ORDER BY bucket LIMIT $1))
  RETURNING 1
), of_backlog AS (
  DELETE FROM dispatcher.backlog_samples
  WHERE ctid = ANY (ARRAY(SELECT ctid FROM dispatcher.backlog_samples
                          WHERE bucket < now() - interval '25 hours' ORDER BY bucket LIMIT $1))
  RETURNING 1
)
SELECT greatest((SELECT count(*) FROM of_endpoints), (SELECT count(*) FROM of_environments), (SELECT count(*) FROM of_late),
                (SELECT count(*) FROM of_backlog)) AS most
