-- $1 environment  $2 text, or an empty one  $3 state, or NULL  $4 return endpoints after
-- this id, or NULL  $5 endpoints to read  $6 most ids
--
-- Return the ids of endpoints that have the text in their name or URL and the wanted state, oldest
-- first, and the last endpoint that was read, NULL if there is none after it. The conditions compare
-- triples, as in list.sql, because only one index has their order.
WITH looked AS MATERIALIZED (
  SELECT id, name, url, active, created_at FROM dispatcher.endpoints
  WHERE deleted_at IS NULL AND (environment_id, created_at, id) > (
      $1, CASE WHEN $4::uuid IS NULL THEN '-infinity' ELSE (SELECT created_at FROM dispatcher.endpoints WHERE id = $4) END,
      coalesce($4, '00000000-0000-0000-0000-000000000000'))
    AND (environment_id, created_at, id) <= ($1, 'infinity', 'ffffffff-ffff-ffff-ffff-ffffffffffff')
  ORDER BY environment_id, created_at, id LIMIT $5
)
SELECT ARRAY(
         SELECT l.id FROM looked l
         LEFT JOIN LATERAL (
           SELECT resting_until, failing_since FROM dispatcher.endpoint_health WHERE endpoint_id = l.id OFFSET 0
         ) AS h ON true
         WHERE ($2::text = '' OR strpos(lower(l.name), lower($2)) > 0 OR strpos(lower(l.url), lower($2)) > 0)
           AND ($3::text IS NULL OR $3 = CASE WHEN NOT l.active THEN 'disabled' WHEN h.resting_until > now() THEN 'resting'
                                              WHEN h.failing_since IS NOT NULL THEN 'failing' ELSE 'active' END)
         ORDER BY l.created_at, l.id LIMIT $6) AS ids,
       (SELECT id FROM looked ORDER BY created_at, id OFFSET $5 - 1) AS looked_to
