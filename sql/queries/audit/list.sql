-- $1 environment, or NULL for all  $2 actor, $3 action, $4 subject, or NULL for any  $5 with ids below, or NULL
-- $6 how many  $7 how many to look at
--
-- A filter may match next to nothing: the first row says how far was looked, NULL for to the end.
WITH far AS MATERIALIZED (
  SELECT (SELECT id FROM dispatcher.audit
          WHERE ($1::text IS NULL OR environment_id = $1) AND ($5::bigint IS NULL OR id < $5)
          ORDER BY id DESC OFFSET $7 - 1 LIMIT 1) AS id
)
SELECT far.id AS looked, a.*
FROM far LEFT JOIN LATERAL (
  SELECT id, at, environment_id, actor, action, subject, detail::text AS detail, request_id, address
  FROM (SELECT *, dispatcher.id_time(id) AS at FROM dispatcher.audit
        WHERE ($1::text IS NULL OR environment_id = $1) AND ($5::bigint IS NULL OR id < $5) AND id >= coalesce((SELECT id FROM far), 0)) AS seen
  WHERE ($2::text IS NULL OR actor = $2) AND ($3::text IS NULL OR action = $3) AND ($4::text IS NULL OR subject = $4)
  ORDER BY id DESC LIMIT $6
) a ON true
ORDER BY a.id DESC
