"""The way of an event: fanned out, sent, recorded, retried; and what stands beside it."""
