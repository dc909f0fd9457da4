"""Dispatcher: webhooks from a row in Postgres."""

__version__ = "0.1.0"
