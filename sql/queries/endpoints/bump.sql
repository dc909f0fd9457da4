-- The next version. Its row stays locked until the end of the transaction, so that changes to
-- endpoints happen one after another, and versions become visible in their own order.
UPDATE dispatcher.endpoint_version SET version = version + 1 RETURNING version
