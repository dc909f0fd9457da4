"""TLS as receivers get it: version 1.2 or newer, verified, HTTP/1.1, sessions taken up again."""

import ssl
from collections import OrderedDict
from time import monotonic
from typing import Self

SESSIONS_LIMIT = 1024

SESSION_SECONDS = 600.0
"""A session taken up again skips the certificate: it may be this old at most."""


class ClientContext(ssl.SSLContext):
    """A context for connections to receivers, that remembers a session for each of their names.

    Taking a session up again saves a round trip and the costly half of a handshake.
    """

    def __new__(cls) -> Self:
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self) -> None:
        self._sessions: OrderedDict[str, tuple[ssl.SSLSession, float]] = OrderedDict()
        self.minimum_version = ssl.TLSVersion.TLSv1_2
        self.hostname_checks_common_name = False
        self.set_alpn_protocols(["http/1.1"])
        self.load_default_certs()

    def remember(self, host: str, connection: ssl.SSLObject) -> None:
        """Keep the session of a connection on which an answer has come, for the next one."""
        session = connection.session
        if session is None or not session.has_ticket:
            return
        self._sessions[host] = (session, monotonic() + SESSION_SECONDS)
        self._sessions.move_to_end(host)
        if len(self._sessions) > SESSIONS_LIMIT:
            self._sessions.popitem(last=False)

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Begin a connection, with the session of the last one to the same name, if there is one."""
        kept, until = self._sessions.get(str(server_hostname), (None, 0.0))
        if session is None and monotonic() < until:
            session = kept
        return super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)
