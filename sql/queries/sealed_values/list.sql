-- $1 return endpoints after this id  $2 most rows. By id, also deleted ones.
SELECT id, secret, previous_secret, headers, authentication_sealed, tls_sealed FROM dispatcher.endpoints
WHERE id > $1 ORDER BY id LIMIT $2
