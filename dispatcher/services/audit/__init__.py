"""Note changes in the audit log, and read it."""
