-- $1 environment, or NULL  $2 actor  $3 action  $4 subject  $5 detail, JSON  $6 request id  $7 address
-- $8 'api' or 'dashboard', or NULL
INSERT INTO dispatcher.audit (environment_id, actor, action, subject, detail, request_id, address, via)
VALUES ($1, $2, $3, $4, $5::json, $6, $7, $8)
