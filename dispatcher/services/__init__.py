"""What the API, the dashboard and the command line ask for: one class a noun."""
