-- $1 environment, or NULL for all  $2 actor, or NULL  $3 action, or NULL  $4 subject, or NULL  $5
-- return ids below this one, or NULL  $6 rows to return  $7 rows to read
--
-- A filter may match few rows, so the number of rows read is limited. `looked` is the last id that
-- was read, or NULL if the log was read to its end. It is in the first row, even if no row matches.
WITH last_read AS MATERIALIZED (
  SELECT (SELECT id FROM dispatcher.audit
          WHERE ($1::text IS NULL OR environment_id = $1) AND ($5::bigint IS NULL OR id < $5)
          ORDER BY id DESC OFFSET $7 - 1 LIMIT 1) AS id
)
SELECT last_read.id AS looked, a.*
FROM last_read LEFT JOIN LATERAL (
  SELECT id, at, environment_id, actor, action, subject, detail::text AS detail, request_id, address, via
  FROM (SELECT *, dispatcher.id_time(id) AS at FROM dispatcher.audit
        WHERE ($1::text IS NULL OR environment_id = $1) AND ($5::bigint IS NULL OR id < $5) AND id >= coalesce((SELECT id FROM last_read), 0)) AS seen
  WHERE ($2::text IS NULL OR actor = $2) AND ($3::text IS NULL OR action = $3) AND ($4::text IS NULL OR subject = $4)
  ORDER BY id DESC LIMIT $6
) a ON true
ORDER BY a.id DESC
