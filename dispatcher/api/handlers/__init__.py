"""The handlers of the admin API, one file a noun."""
