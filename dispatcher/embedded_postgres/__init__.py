"""An embedded PostgreSQL server, for use when no database is configured."""
