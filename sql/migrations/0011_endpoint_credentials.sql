-- The identity of requests: basic credentials or an OAuth 2 client, and certificates for TLS.

ALTER TABLE dispatcher.endpoints
  ADD COLUMN authentication json,          -- what people may see of it: type, token_url, client_id, …
  ADD COLUMN authentication_sealed bytea,  -- all of it, with the password or client secret, encrypted
  ADD COLUMN tls json,                     -- what people may see of the certificates: subject, fingerprint, not_after
  ADD COLUMN tls_sealed bytea,             -- the client certificate, its key, and the CA to trust, encrypted
  ADD CONSTRAINT endpoints_authentication_whole CHECK ((authentication IS NULL) = (authentication_sealed IS NULL)),
  ADD CONSTRAINT endpoints_tls_whole CHECK ((tls IS NULL) = (tls_sealed IS NULL));
