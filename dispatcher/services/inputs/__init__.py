"""Define the inputs: one model for each request, which validates it and describes it in OpenAPI."""
