"""Send one POST safely: connections, exchange, name lookup, egress guard and deadlines."""
