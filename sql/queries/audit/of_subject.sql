-- $1 environment  $2 subject  $3 actor, or NULL  $4 action, or NULL  $5 return ids below this one, or NULL
-- $6 rows to return  $7 rows to read
--
-- As list.sql, by the index of the subject. The conditions compare triples, because only that index has
-- their order.
WITH last_read AS MATERIALIZED (
  SELECT (SELECT id FROM dispatcher.audit
          WHERE (environment_id, subject, id) < ($1, $2, coalesce($5, 9223372036854775807)) AND (environment_id, subject, id) >= ($1, $2, 0)
          ORDER BY environment_id DESC, subject DESC, id DESC OFFSET $7 - 1 LIMIT 1) AS id
)
SELECT last_read.id AS looked, a.*
FROM last_read LEFT JOIN LATERAL (
  SELECT id, dispatcher.id_time(id) AS at, environment_id, actor, action, subject, detail::text AS detail, request_id, address, via
  FROM dispatcher.audit
  WHERE (environment_id, subject, id) < ($1, $2, coalesce($5, 9223372036854775807))
    AND (environment_id, subject, id) >= ($1, $2, coalesce((SELECT id FROM last_read), 0))
    AND ($3::text IS NULL OR actor = $3) AND ($4::text IS NULL OR action = $4)
  ORDER BY environment_id DESC, subject DESC, id DESC LIMIT $6
) a ON true
ORDER BY a.id DESC
