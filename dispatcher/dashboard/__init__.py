"""The dashboard: HTML pages, rendered on the server, for people with a browser."""
