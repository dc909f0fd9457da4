"""Open connections to receivers and keep them, few at a time: TLS, the proxy, turns and slots."""
