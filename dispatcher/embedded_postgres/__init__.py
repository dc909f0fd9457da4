"""A PostgreSQL of one's own, started when no database is configured."""
