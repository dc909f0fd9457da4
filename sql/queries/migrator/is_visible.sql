-- Return one row with visible, true if this session may see who migrates. Before the first migration
-- there is no such table.
SELECT to_regclass('dispatcher.migrator') IS NOT NULL
  AND has_table_privilege(to_regclass('dispatcher.migrator')::oid, 'SELECT') AS visible
