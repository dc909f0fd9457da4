"""The views: what each page shows and does, one module a noun."""
