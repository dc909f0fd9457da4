"""Open connections to receivers, keep them for some seconds, and bound their number.

The guard checks all addresses of a host before the first is dialled, and each address again when
its socket is made. With a proxy, only the first of these checks is made, and only of a host that
can be looked up here: the proxy looks it up again, and the proxy's own address is not judged. An
idle connection is closed before the receiver is likely to close it. Otherwise a request could be
sent on a connection that is just being closed.
"""

import asyncio
import socket
import ssl
from collections import deque
from contextlib import AbstractAsyncContextManager, nullcontext
from time import monotonic

from dispatcher.shared_slots import BusyError
from dispatcher.transport.addresses.egress import AddrInfo, BlockedError, Guard
from dispatcher.transport.addresses.resolver import Resolver, addr_info
from dispatcher.transport.connecting.dial import dial
from dispatcher.transport.connecting.dial_turns import DialTurns
from dispatcher.transport.connecting.failed_handshakes import FailedHandshakes
from dispatcher.transport.connecting.handshake_slots import handshake_slots
from dispatcher.transport.connecting.progress import Progress
from dispatcher.transport.connecting.proxy import Proxy, ProxyGuard, no_proxy
from dispatcher.transport.connecting.tls import ClientContext, ClientContexts
from dispatcher.transport.deadlines import Deadlines
from dispatcher.transport.exchanging.answer_head import Head
from dispatcher.transport.exchanging.body_turns import BodyTurns
from dispatcher.transport.exchanging.exchange import Connection
from dispatcher.transport.failures import (
    PostError,
    no_address,
    no_certificates,
    no_connection,
    no_handshake,
)
from dispatcher.transport.target import Origin, Target

IDLE_SECONDS = 4.0
"""How long idle connections are kept: most servers keep them for 5 s or more, or announce less."""

KEEP_ALIVE_MARGIN_SECONDS = 1.0
"""How much earlier a connection is closed than the receiver's Keep-Alive header announces."""

CLOSE_IDLE_SECONDS = 0.5
"""Time between two searches for idle connections to close."""

SHUTDOWN_SECONDS = 1.0
"""Longest TLS shutdown of a closing connection; no request waits for it."""

Turn = AbstractAsyncContextManager[object]
"""Entered while a connection is made."""


class _OriginConnections:
    """The connections to one origin: the number of open ones, idle ones, and waiting requests."""

    __slots__ = ("count", "handshakes", "idle", "origin", "waiting")

    def __init__(self, origin: Origin, limit: int) -> None:
        self.origin = origin
        self.count = 0
        self.handshakes = handshake_slots(limit)
        self.idle: dict[Connection, None] = {}
        self.waiting: deque[asyncio.Future[None]] = deque()

    def wake_one(self) -> None:
        """Wake the first request that waits for a connection."""
        while self.waiting:
            waiter = self.waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return


class Connections:
    """The pool of connections to receivers.

    `connect_timeout` is in seconds, for lookup, connection and TLS together. `idle_limit` bounds
    the idle connections, `origin_limit` the open connections to one origin: a request for one more
    waits until its own deadline. With a `proxy`, connections go through it.
    """

    def __init__(
        self,
        guard: Guard,
        resolver: Resolver,
        deadlines: Deadlines,
        contexts: ClientContexts,
        *,
        connect_timeout: float,
        idle_limit: int,
        origin_limit: int,
        proxy: Proxy | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._guard = guard
        self._resolver = resolver
        self._deadlines = deadlines
        self._contexts = contexts
        self._connect_timeout = connect_timeout
        self._idle_limit = idle_limit
        self._origin_limit = origin_limit
        self._proxy = proxy
        self._dial_guard: Guard = ProxyGuard() if proxy else guard
        self._proxy_resolver = Resolver(self._dial_guard) if proxy else resolver
        self._origins: dict[Origin, _OriginConnections] = {}
        self._idle: dict[Connection, _OriginConnections] = {}
        self._made: dict[Connection, _OriginConnections] = {}
        self._body_turns = BodyTurns(self._loop)
        self._dial_turns = DialTurns(self._loop)
        self._failed_handshakes = FailedHandshakes()
        self._close_timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    def __len__(self) -> int:
        """Return how many connections are open."""
        return len(self._made)

    def close(self) -> None:
        """Close all connections at once; running exchanges end with an error."""
        self._is_closed = True
        if self._close_timer is not None:
            self._close_timer.cancel()
        for connection in list(self._made):
            connection.abort()

    def take(self, origin: Origin, now: float) -> Connection | None:
        """Return the idle connection that was used last, None if there is none.

        `now` is in monotonic seconds.
        """
        opened = self._origins.get(origin)
        while opened is not None and opened.idle:
            connection, _ = opened.idle.popitem()
            del self._idle[connection]
            if now < connection.idle_until and not connection.is_closing:
                return connection
            connection.abort()
        return None

    def _keep(self, connection: Connection, head: Head) -> None:
        """Keep the connection for another exchange; `head` is that of its last answer."""
        opened = self._made[connection]
        if not connection.served and opened.origin.is_https:
            _remember_session(opened.origin, connection)
        announced = head.keep_alive_seconds
        seconds = IDLE_SECONDS if announced is None else _idle_seconds(announced)
        if seconds <= 0:
            connection.abort()
            return
        connection.idle_until = connection.first_byte_at + seconds
        opened.idle[connection] = None
        self._idle[connection] = opened
        if len(self._idle) > self._idle_limit:
            next(iter(self._idle)).abort()
        if opened.waiting:
            opened.wake_one()
        if self._close_timer is None:
            self._close_timer = self._loop.call_later(CLOSE_IDLE_SECONDS, self._close_idle)

    async def connect(self, target: Target, progress: Progress, environment_id: str) -> Connection:
        """Return a new connection, or one that became idle while waiting. Raise PostError."""
        if self._is_closed:
            raise PostError("connect", "no connection: the dispatcher is stopping")
        origin = target.origin
        opened = self._connections_to(origin)
        while opened.count >= self._origin_limit:
            await self._wait(opened)
            if (connection := self.take(origin, monotonic())) is not None:
                return connection
            opened = self._connections_to(origin)  # it is another one if all of them were closed
        opened.count += 1
        connection = None
        try:
            turn = opened.handshakes.hold(environment_id) if origin.is_https else nullcontext()
            connection = await self._connect_in_time(target, progress, environment_id, turn)
            if not connection.is_lost:
                self._made[connection] = opened
        finally:
            if connection is None or connection.is_lost:
                self._uncount(opened)
        return connection

    def _connections_to(self, origin: Origin) -> _OriginConnections:
        opened = self._origins.get(origin)
        if opened is None:
            opened = self._origins[origin] = _OriginConnections(origin, self._origin_limit)
        return opened

    async def _wait(self, opened: _OriginConnections) -> None:
        waiter: asyncio.Future[None] = self._loop.create_future()
        opened.waiting.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                opened.wake_one()
            raise

    async def _connect_in_time(
        self, target: Target, progress: Progress, environment_id: str, turn: Turn
    ) -> Connection:
        try:
            with self._deadlines.within(self._connect_timeout):
                addresses = await self._addresses(target, environment_id)
                progress.looked_up_at = monotonic()
                async with turn:
                    await self._dial_turns.take(environment_id)
                    self._failed_handshakes.admit(environment_id, target.origin, monotonic())
                    sock = await self._connect_socket(target, addresses, progress)
                    connection = await self._start(target, sock, environment_id)
        except TimeoutError:
            # If the TCP connection was made, the TLS handshake took too long.
            through = " through the proxy" if self._proxy else ""
            raise PostError(
                "timeout" if progress.connected_at else "connect",
                f"no connection{through} within {self._connect_timeout:g} s (phase=connect)",
            ) from None
        progress.secured_at = monotonic() if target.origin.is_https else 0.0
        return connection

    async def _addresses(self, target: Target, environment_id: str) -> list[AddrInfo]:
        """Return the addresses to dial, those of the proxy if there is one. Raise PostError."""
        host = target.origin.host
        try:
            addresses = await self._permitted_addresses(target, environment_id)
        except BlockedError as error:
            raise PostError("blocked", str(error)) from None
        except OSError as error:
            if self._proxy is None:
                raise no_address(host, error) from None
            addresses = []  # only the proxy may be able to look up names of the outside
        return addresses if self._proxy is None else await self._addresses_of(self._proxy)

    async def _permitted_addresses(self, target: Target, environment_id: str) -> list[AddrInfo]:
        """Return the receiver's addresses. Raise BlockedError if one of them is not permitted."""
        host, port = target.origin.host, target.origin.port
        if target.is_literal:
            self._guard.check_address(host, port)
            return [addr_info(host, port)]
        return await self._resolver.resolve(host, port, environment_id)

    async def _addresses_of(self, proxy: Proxy) -> list[AddrInfo]:
        if proxy.is_literal:
            return [addr_info(proxy.host, proxy.port)]
        try:
            return await self._proxy_resolver.resolve(proxy.host, proxy.port)
        except OSError:
            raise PostError("dns", "no connection: the proxy's name cannot be resolved") from None

    async def _connect_socket(
        self, target: Target, addresses: list[AddrInfo], progress: Progress
    ) -> socket.socket:
        """Return a socket that leads to the receiver. Raise PostError."""
        try:
            sock = await dial(addresses, self._dial_guard.socket_factory)
        except BlockedError as error:
            raise PostError("blocked", str(error)) from None
        except OSError as error:
            raise (no_proxy if self._proxy else no_connection)(error) from None
        if self._proxy is not None:
            try:
                await self._proxy.open_tunnel(sock, target.origin)
            except BaseException:
                sock.close()
                raise
        progress.connected_at = monotonic()
        return sock

    async def _start(self, target: Target, sock: socket.socket, environment_id: str) -> Connection:
        """Return the connection on this socket, after the TLS handshake. Raise PostError."""
        connection = Connection(
            self._loop, self._body_turns, self._deadlines, on_idle=self._keep, on_lost=self._forget
        )
        tls = target.origin.is_https
        try:
            context = await self._context(target.origin, environment_id) if tls else None
        except BaseException:
            sock.close()
            raise
        try:
            await self._loop.create_connection(
                lambda: connection,
                sock=sock,
                ssl=context,
                server_hostname=target.origin.server_name if tls else None,
                ssl_shutdown_timeout=SHUTDOWN_SECONDS if tls else None,
            )
        except (OSError, ValueError) as error:
            if isinstance(error, ssl.SSLError):
                reason = no_handshake(error).reason
                self._failed_handshakes.note(environment_id, target.origin, reason, monotonic())
            # Kept in a variable, the error would hold this frame and what was read until garbage
            # collection.
            raise (no_handshake if tls else no_connection)(error) from None
        self._failed_handshakes.forget(environment_id, target.origin)
        return connection

    async def _context(self, origin: Origin, environment_id: str) -> ClientContext:
        try:
            return await self._contexts.get(origin.identity, environment_id)
        except (OSError, ValueError) as error:
            raise no_certificates(error) from None
        except BusyError:
            raise TimeoutError from None  # as for other requests that wait for this context

    def _forget(self, connection: Connection) -> None:
        self._idle.pop(connection, None)
        opened = self._made.pop(connection, None)
        if opened is not None:
            opened.idle.pop(connection, None)
            self._uncount(opened)

    def _uncount(self, opened: _OriginConnections) -> None:
        opened.count -= 1
        opened.wake_one()
        if not opened.count and not opened.waiting:
            self._origins.pop(opened.origin, None)

    def _close_idle(self) -> None:
        now = monotonic()
        for connection in list(self._idle):
            if connection.idle_until <= now:
                connection.abort()
        self._close_timer = None
        if self._idle:
            self._close_timer = self._loop.call_later(CLOSE_IDLE_SECONDS, self._close_idle)


def _remember_session(origin: Origin, connection: Connection) -> None:
    """Keep the TLS session in the context that the connection was made with, and in no other."""
    tls: ssl.SSLObject | None = connection.transport.get_extra_info("ssl_object")
    if tls is not None and isinstance(tls.context, ClientContext):
        tls.context.remember(origin.server_name, tls)


def _idle_seconds(announced: int) -> float:
    """Return for how many seconds to keep a connection that its receiver keeps for `announced`."""
    return min(IDLE_SECONDS, announced - KEEP_ALIVE_MARGIN_SECONDS)
