"""Set up TLS to receivers: version 1.2 or newer, verified, HTTP/1.1, with session resumption."""

import ssl
from collections import OrderedDict
from time import monotonic
from typing import Self

SESSIONS_LIMIT = 1024
"""Most sessions kept, one per host name."""

SESSION_SECONDS = 600.0
"""Longest age of a resumed session, as resumption does not check the certificate again."""


class ClientContext(ssl.SSLContext):
    """A TLS context for connections to receivers, which keeps one session for each host name.

    Resuming a session saves a round trip and the expensive half of a handshake.
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
        """Keep the session of a connection that has answered, for the next connection."""
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
        """Start a connection; resume the last session of the same host name if it is kept."""
        kept, until = self._sessions.get(str(server_hostname), (None, 0.0))
        if session is None and monotonic() < until:
            session = kept
        return super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)
