-- Draw the next version. Its row stays locked until the transaction ends. So changes to endpoints
-- happen one after another, and versions become visible in order.
UPDATE dispatcher.endpoint_version SET version = version + 1 RETURNING version
