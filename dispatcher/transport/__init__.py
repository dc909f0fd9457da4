"""One POST, safely: connections, one exchange, names, the egress guard and deadlines."""
