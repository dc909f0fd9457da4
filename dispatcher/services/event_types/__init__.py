"""Read and write the catalogue of event types."""
