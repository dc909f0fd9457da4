"""Write a request and read its answer."""
