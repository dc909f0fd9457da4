"""The dashboard: pages rendered here, for people with a browser."""
