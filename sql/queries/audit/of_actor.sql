-- $1 environment  $2 actor  $3 subject, or NULL  $4 action, or NULL  $5 return ids below this one, or NULL
-- $6 rows to return  $7 rows to read
--
-- As list.sql, by the index of the actor. The conditions compare triples, because only that index has
-- their order.
WITH last_read AS MATERIALIZED (
  SELECT (SELECT id FROM dispatcher.audit
          WHERE (environment_id, actor, id) < ($1, $2, coalesce($5, 9223372036854775807)) AND (environment_id, actor, id) >= ($1, $2, 0)
          ORDER BY environment_id DESC, actor DESC, id DESC OFFSET $7 - 1 LIMIT 1) AS id
)
SELECT last_read.id AS looked, a.*
FROM last_read LEFT JOIN LATERAL (
  SELECT id, dispatcher.id_time(id) AS at, environment_id, actor, action, subject, detail::text AS detail, request_id, address, via
  FROM dispatcher.audit
  WHERE (environment_id, actor, id) < ($1, $2, coalesce($5, 9223372036854775807))
    AND (environment_id, actor, id) >= ($1, $2, coalesce((SELECT id FROM last_read), 0))
    AND ($3::text IS NULL OR subject = $3) AND ($4::text IS NULL OR action = $4)
  ORDER BY environment_id DESC, actor DESC, id DESC LIMIT $6
) a ON true
ORDER BY a.id DESC
