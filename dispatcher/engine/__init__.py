"""Fan out, send, record and retry events, with the stages that support this."""
