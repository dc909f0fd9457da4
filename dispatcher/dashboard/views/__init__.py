"""What each page shows and does, a module a noun."""
