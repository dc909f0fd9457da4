"""The sockets and connections of the admin port, before there is a request."""
