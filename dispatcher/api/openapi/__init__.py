"""The OpenAPI document, generated from the routes and models that serve requests."""
