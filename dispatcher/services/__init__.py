"""Serve the API, the dashboard and the command line: one class for each noun."""
