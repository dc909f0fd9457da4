-- $1 endpoint ids  $2 secrets  $3 previous secrets  $4 headers  $5 authentications  $6 tls, as many of
-- each, all encrypted
--
-- The plain values stay the same, so the version does as well: no daemon needs to read them again.
UPDATE dispatcher.endpoints e
SET secret = w.secret, previous_secret = w.previous_secret, headers = w.headers,
    authentication_sealed = w.authentication_sealed, tls_sealed = w.tls_sealed
FROM unnest($1::uuid[], $2::bytea[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bytea[])
  AS w(id, secret, previous_secret, headers, authentication_sealed, tls_sealed)
WHERE e.id = w.id AND e.id = ANY (ARRAY(    -- see pauses/pause.sql
  SELECT id FROM dispatcher.endpoints WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE))
