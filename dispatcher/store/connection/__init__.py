"""Open a connection to the database: its address, TLS, settings, and errors that say what to do."""
