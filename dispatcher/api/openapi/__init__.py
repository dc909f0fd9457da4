"""The OpenAPI document, made of the same routes and models that serve."""
