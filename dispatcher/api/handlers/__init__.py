"""The handlers of the admin API, one module a noun."""
