"""Set up TLS to receivers: version 1.2 or newer, verified, HTTP/1.1, with session resumption."""

import asyncio
import os
import ssl
import sys
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Self

from dispatcher.core.credentials import TlsIdentity
from dispatcher.shared_slots import SharedSlots
from dispatcher.transport.connecting.context_cache import ContextCache
from dispatcher.transport.connecting.system_certificates import load_when_needed

SESSIONS_LIMIT = 1024
"""Most sessions that one context keeps, one for each host name."""

SESSION_SECONDS = 600.0
"""Longest age of a resumed session, as resumption does not check the certificate again."""

OWN_CA_LIMIT = 1024
OWN_CA_LIMIT_BYTES = 32 * 2**20
"""Most contexts kept for endpoints that trust own certificates, and the memory for them: with one
or two certificates each takes about 25 KiB, with 64 KiB of them 0.6 MiB."""

SYSTEM_CA_LIMIT = 64
"""Most contexts kept for endpoints with a client certificate that trust the system's certificates:
on some systems each context needs a copy of all of them, which takes 0.8 MiB."""
SYSTEM_CA_LIMIT_BYTES = 32 * 2**20
"""Memory for these contexts, besides the system's certificates."""

BUILDING_LIMIT = 2
"""Most contexts built at a time, one for an environment: one with many certificates takes 0.1 s."""
BUILDING_WAIT_SECONDS = 60.0
"""Longest wait for the turn to build a context. It is more than `connect_timeout` can be."""


class ClientContext(ssl.SSLContext):
    """A TLS context for connections to receivers, which keeps one session for each host name.

    Resuming a session saves the expensive half of a handshake, and with TLS 1.2 a round trip. With
    an `identity`, its certificates are used. Raise OSError or ValueError if they cannot be used.
    """

    def __new__(cls, identity: TlsIdentity | None = None) -> Self:
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self, identity: TlsIdentity | None = None) -> None:
        self._sessions: OrderedDict[str, tuple[ssl.SSLSession, float]] = OrderedDict()
        self.minimum_version = ssl.TLSVersion.TLSv1_2
        self.hostname_checks_common_name = False
        # Otherwise a receiver could have one handshake after another made on a connection.
        self.options |= ssl.OP_NO_RENEGOTIATION
        self.set_alpn_protocols(["http/1.1"])
        if identity is None:
            self.load_default_certs()
        elif identity.ca is None:
            load_when_needed(self)
        else:
            _trust(self, identity.ca)
        if identity is not None and identity.certificate and identity.key:
            with _in_memory(identity.certificate) as certificate, _in_memory(identity.key) as key:
                # With a password, OpenSSL does not ask for one at the terminal.
                self.load_cert_chain(certificate, key, password="")

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


class ClientContexts:
    """The context of the system's certificates, and those of endpoints with their own.

    Each context has its own sessions. So no session is resumed with other certificates.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._system = ClientContext()
        self._own_ca: ContextCache[ClientContext] = ContextCache(OWN_CA_LIMIT, OWN_CA_LIMIT_BYTES)
        self._system_ca: ContextCache[ClientContext] = ContextCache(
            SYSTEM_CA_LIMIT, SYSTEM_CA_LIMIT_BYTES
        )
        self._building: dict[TlsIdentity, asyncio.Task[ClientContext]] = {}
        # The requests in flight bound how many wait.
        self._slots = SharedSlots(
            BUILDING_LIMIT,
            slots_of_one=1,
            waiting=sys.maxsize,
            waiting_of_one=sys.maxsize,
            wait_seconds=BUILDING_WAIT_SECONDS,
        )

    async def get(self, identity: TlsIdentity | None, environment_id: str = "") -> ClientContext:
        """Return the context of an identity, or that of the system if `identity` is None.

        If it is not kept, build it in a thread, when it is the environment's turn: loading the
        certificates takes 10 ms or more. Raise OSError or ValueError if they cannot be used, and
        BusyError if the turn does not come within BUILDING_WAIT_SECONDS.
        """
        if identity is None:
            return self._system
        context = self._kept(identity).get(identity)
        if context is not None:
            return context
        building = self._building.get(identity)
        if building is None:
            building = self._loop.create_task(self._build(identity, environment_id))
            self._building[identity] = building
            building.add_done_callback(lambda built: self._keep(identity, environment_id, built))
        # A request whose time is over must not cancel the building for the others.
        return await asyncio.shield(building)

    async def _build(self, identity: TlsIdentity, environment_id: str) -> ClientContext:
        async with self._slots.hold(environment_id):
            return await asyncio.to_thread(ClientContext, identity)

    def _keep(
        self, identity: TlsIdentity, environment_id: str, built: asyncio.Task[ClientContext]
    ) -> None:
        del self._building[identity]
        if not built.cancelled() and built.exception() is None:
            self._kept(identity).keep(environment_id, identity, built.result())

    def _kept(self, identity: TlsIdentity) -> ContextCache[ClientContext]:
        """Return the contexts of the same kind."""
        return self._system_ca if identity.ca is None else self._own_ca


def _trust(context: ssl.SSLContext, pem: str) -> None:
    """Trust the certificates of a PEM text. Raise OSError or ValueError if they cannot be used.

    OpenSSL reads them from a file in memory, where the system has such files. Reading them from a
    text would keep the interpreter lock, and so the event loop waiting, for up to 0.1 s.
    """
    if not hasattr(os, "memfd_create"):
        context.load_verify_locations(cadata=pem)
        return
    with _in_memory(pem) as path:
        context.load_verify_locations(cafile=path)


@contextmanager
def _in_memory(text: str) -> Iterator[str]:
    """Yield a path from which the text can be read: OpenSSL reads certificates only from files.

    The file is in memory. Otherwise a private key would be written to a disk in clear.
    """
    descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(text.encode())
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
