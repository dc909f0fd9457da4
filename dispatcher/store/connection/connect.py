"""Open a connection to the database, for the daemon, for `migrate` and for each command.

The hosts of an address are tried one after another, and so are the addresses of one name. Each has
its own time limit, so that a server that does not answer costs no more than that limit. The server
that answered last is tried first.
"""

import asyncio
import random
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from time import monotonic
from typing import Any

import asyncpg

from dispatcher.store.connection import address as addresses
from dispatcher.store.connection import setup, tls
from dispatcher.store.connection.address import Address, AddressError, Host
from dispatcher.store.connection.connect_errors import explain, is_final
from dispatcher.store.connection.keepalive import Connection

__all__ = ["AddressError", "ConnectError", "connect"]

SILENT_HOST_SECONDS = 2.5
"""Limit for a host that is one of several. connect_timeout in the DSN overrides it."""
LEAST_SECONDS = 2.5
"""Least limit for a single host. With less, a busy server would look like a dead one."""
TIMEOUT_LIMIT_SECONDS = 60.0
"""Limit for all hosts together. Hosts that were not reached are tried first the next time."""
PLACES_LIMIT = 32
KNOWN_POOLER_SECONDS = 60.0
"""How long to remember that a pooler keeps one server session for each client."""


class ConnectError(Exception):
    """The database refused the connection or did not answer."""


@dataclass(frozen=True, slots=True)
class _Place:
    """One address of one host."""

    host: Host
    address: str


class _Route:
    """What this process remembers about one DSN: which server answered last, and which failed."""

    def __init__(self) -> None:
        self._good: _Place | None = None
        self._failed: set[Host | _Place] = set()
        self.gives_sessions_until = float("-inf")

    def hosts(self, hosts: Iterable[Host]) -> list[Host]:
        """Return the hosts in the order to try: the last good one first, the failed ones last."""
        good = self._good.host if self._good else None
        return sorted(hosts, key=lambda host: (host != good, host in self._failed))

    def places(self, places: Iterable[_Place]) -> list[_Place]:
        """Return the addresses of one host, in the same order."""
        return sorted(places, key=lambda place: (place != self._good, place in self._failed))

    def note_success(self, place: _Place) -> None:
        """Record that a place answered."""
        self._good = place
        self._failed -= {place, place.host}

    def note_failure(self, what: Host | _Place) -> None:
        """Record that a host or a place did not answer."""
        if len(self._failed) < PLACES_LIMIT:
            self._failed.add(what)
        if self._good and what in (self._good, self._good.host):
            self._good = None


@lru_cache(maxsize=16)
def _route(dsn: str) -> _Route:
    return _Route()


async def connect(
    dsn: str, *, settings: Mapping[str, str], timeout_seconds: float
) -> "asyncpg.Connection[Any]":
    """Return an open connection to the primary server of `dsn`, with `settings` in force.

    `timeout_seconds` limits a single host, SILENT_HOST_SECONDS each of several. connect_timeout in
    the DSN overrides both. Raise AddressError if the address cannot be read, and ConnectError if no
    server can be reached or a server refuses the connection.
    """
    address = addresses.read(dsn)
    opening = _Opening(address, _route(dsn), settings)
    return await opening.open(timeout_seconds)


class _Opening:
    """One call of `connect`."""

    def __init__(self, address: Address, route: _Route, settings: Mapping[str, str]) -> None:
        self._address = address
        self._route = route
        self._settings = settings
        self._problems: dict[str, None] = {}

    async def open(self, timeout_seconds: float) -> Connection:
        """Return the first usable connection. Raise ConnectError if there is none."""
        deadline = monotonic() + TIMEOUT_LIMIT_SECONDS
        hosts = list(self._address.hosts)
        if self._address.parameters.get("load_balance_hosts") == "random":
            random.SystemRandom().shuffle(hosts)
        for host in self._route.hosts(hosts):
            if monotonic() >= deadline:  # the others come first the next time
                break
            limit = self._limit(timeout_seconds, alone=len(hosts) == 1)
            places = self._route.places(await self._look_up(host, limit))
            limit = self._limit(timeout_seconds, alone=len(hosts) == len(places) == 1)
            for place in places:
                if monotonic() < deadline and (opened := await self._try(place, limit)):
                    return opened
            self._route.note_failure(host)
        raise ConnectError("; ".join(self._problems))

    def _limit(self, timeout_seconds: float, *, alone: bool) -> float:
        """Return the seconds that one host, or one address of it, may take."""
        seconds = self._address.number("connect_timeout", 0)
        if seconds > 0:
            return min(max(seconds, 2.0), TIMEOUT_LIMIT_SECONDS)  # libpq has the same minimum, 2 s
        return max(timeout_seconds, LEAST_SECONDS) if alone else SILENT_HOST_SECONDS

    async def _look_up(self, host: Host, limit: float) -> list[_Place]:
        if host.is_socket:
            return [_Place(host, host.address)]
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(limit):
                address_infos = await loop.getaddrinfo(
                    host.address, host.port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
                )
        except TimeoutError:
            timed_out = socket.gaierror(socket.EAI_AGAIN, "timed out")
            self._note(timed_out, host, limit)
            return []
        except (OSError, UnicodeError) as error:
            self._note(error, host, limit)
            return []
        texts = dict.fromkeys(str(one[4][0]) for one in address_infos)
        return [_Place(host, text) for text in texts][:PLACES_LIMIT]

    async def _try(self, place: _Place, limit: float) -> Connection | None:
        """Return a connection to one place, or None if it failed. Note the reason.

        Raise ConnectError if every other host would give the same answer.
        """
        try:
            async with asyncio.timeout(limit):
                connection = await self._open_any(place)
            self._route.note_success(place)
        except (tls.TlsError, setup.UnusableError) as error:
            self._problems[f"{place.host}: {error}"] = None
        except (OSError, TimeoutError, ValueError) as error:
            self._note(error, place.host, limit)
        # The driver raises InternalClientError if the server ends the connection between the first
        # two statements. Otherwise it would end the daemon.
        except (
            asyncpg.PostgresError,
            asyncpg.InterfaceError,
            asyncpg.InternalClientError,
        ) as error:
            self._note(error, place.host, limit)
            if is_final(error):
                raise ConnectError("; ".join(self._problems)) from error
        else:
            return connection
        self._route.note_failure(place)
        return None

    def _note(self, error: Exception, host: Host, seconds: float) -> None:
        self._problems[explain(error, host, self._address, seconds=seconds)] = None

    async def _open_any(self, place: _Place) -> Connection:
        """Return a connection that is ready for use, with or without TLS as sslmode allows."""
        failed: Exception | None = None
        for context in tls.contexts(self._address, place.host):
            open_one = partial(self._open_one, place, context)
            try:
                connection = await open_one()
            except (OSError, *_OTHER_WAY) as error:
                # Keep PostgreSQL's own refusal. It explains more than "the server does not speak
                # TLS".
                if not isinstance(failed, asyncpg.PostgresError):
                    failed = error
                if isinstance(error, _SAME_EITHER_WAY):
                    break
                continue
            return await self._prepare(connection, open_one)
        raise failed or ConnectError("there is no way to connect")

    async def _open_one(self, place: _Place, context: ssl.SSLContext | None) -> Connection:
        parameters = self._address.parameters
        startup = {"application_name": self._settings.get("application_name", "dispatcher")}
        if "options" in parameters:
            startup["options"] = parameters["options"]
        connection: Connection = await asyncpg.connect(
            host=place.address,
            port=place.host.port,
            user=self._address.user,
            password=self._address.password(place.host),
            database=self._address.database,
            ssl=context or False,
            direct_tls=context is not None and parameters.get("sslnegotiation") == "direct",
            server_settings=startup,
            target_session_attrs=asyncpg.connect_utils.SessionAttribute.any,
            krbsrvname=parameters.get("krbsrvname"),
            gsslib="gssapi",
            timeout=TIMEOUT_LIMIT_SECONDS,  # the limit around this call is shorter
            connection_class=Connection,
        )
        connection.keep_alive(self._address)
        return connection

    async def _prepare(self, connection: Connection, another: Callable[[], Any]) -> Connection:
        known = monotonic() < self._route.gives_sessions_until
        try:
            self._refuse_read_only(connection)
            await setup.prepare(connection, self._settings, another=None if known else another)
        except BaseException:
            connection.terminate()
            raise
        if not known:
            self._route.gives_sessions_until = monotonic() + KNOWN_POOLER_SECONDS
        return connection

    def _refuse_read_only(self, connection: Connection) -> None:
        required = self._address.parameters.get("target_session_attrs")
        read_only = getattr(connection.get_settings(), "default_transaction_read_only", "off")
        if required == "read-write" and read_only == "on":
            raise setup.UnusableError(
                "the server is read-only (default_transaction_read_only), and the address asks for"
                " target_session_attrs=read-write"
            )


_OTHER_WAY = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.ConnectionDoesNotExistError)
"""After these errors and OSError, sslmode prefer tries without TLS, and sslmode allow with TLS.

The errors of _SAME_EITHER_WAY are excepted.
"""
_SAME_EITHER_WAY = (TimeoutError, ConnectionRefusedError, asyncpg.InvalidPasswordError)
