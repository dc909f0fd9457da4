-- $1 return endpoints after this id  $2 most rows. By id, also deleted ones.
SELECT id, secret, previous_secret, headers, authentication_sealed, tls_sealed, deleted_at IS NOT NULL AS is_deleted
FROM dispatcher.endpoints
WHERE id > $1 ORDER BY id LIMIT $2
