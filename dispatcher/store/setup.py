"""What a fresh connection is given and must prove before it is used: settings, and a session.

Poolers refuse settings among the parameters of a connection, so they are set by a statement. That
also wins over `ALTER ROLE … SET`, `ALTER DATABASE … SET` and the options of the address.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, TypeAlias

import asyncpg

from dispatcher.store.connect_errors import BROKEN_BY_POOLERS, POOLER
from dispatcher.store.statements import statement

Connection: TypeAlias = "asyncpg.Connection[Any]"

OLDEST_SERVER = 14
COMPARE_SECONDS = 2.0
"""For a second connection through a pooler: one that gives none has no server to spare."""
NO_LIMITS = "SET statement_timeout = 0; SET idle_session_timeout = 0"
BACKEND = "SELECT pg_catalog.pg_backend_pid()"


class UnusableError(Exception):
    """This server, or what stands before it, cannot be used; the message says why."""


async def prepare(
    connection: Connection,
    settings: Mapping[str, str],
    *,
    another: Callable[[], Awaitable[Connection]] | None,
) -> None:
    """Put `settings` in force, and see that they stay so.

    `another` opens a second connection, to find out what kind of pooler stands in between; None
    if that is known. Raises UnusableError, and the driver's errors.
    """
    version = connection.get_server_version()
    if message := too_old(version.major, version.minor):
        raise UnusableError(message)
    try:
        await _prepare(connection, settings, another)
    except BROKEN_BY_POOLERS:
        raise UnusableError(POOLER) from None


def too_old(major: int, minor: int) -> str | None:
    """Return what is wrong with a version of PostgreSQL; None if nothing is."""
    if major >= OLDEST_SERVER:
        return None
    return (
        f"the server is PostgreSQL {major}.{minor}, and Dispatcher needs {OLDEST_SERVER} or newer:"
        " upgrade the server"
    )


async def _prepare(
    connection: Connection,
    settings: Mapping[str, str],
    another: Callable[[], Awaitable[Connection]] | None,
) -> None:
    # Otherwise the limits of the role end the very statement that replaces them.
    await connection.execute(NO_LIMITS)
    configured = await configure(connection, settings)
    if configured["standby"]:
        raise UnusableError("the server is a standby, which cannot write")
    backend = configured["backend"]
    # A pooler answers with a number of its own, for it cannot know which server will be asked.
    if another and backend != connection.get_server_pid():
        await _refuse_shared(connection, backend, another)
    verified = await verify(connection, configured["names"] or [])
    if (verified["backend"], verified["values"]) != (backend, configured["values"]):
        raise UnusableError(POOLER)


async def configure(connection: Connection, settings: Mapping[str, str]) -> asyncpg.Record:
    """Set what this server knows of `settings`; return `backend`, `standby`, `names` and `values`."""
    rows: list[asyncpg.Record] = await connection.fetch(
        statement("setup/configure"), list(settings), list(settings.values())
    )
    return rows[0]


async def verify(connection: Connection, names: Sequence[str]) -> asyncpg.Record:
    """Return the `values` of settings as they are now, and the `backend` that answered."""
    rows: list[asyncpg.Record] = await connection.fetch(statement("setup/verify"), names)
    return rows[0]


async def _refuse_shared(
    connection: Connection, backend: int, another: Callable[[], Awaitable[Connection]]
) -> None:
    """Raise UnusableError if a second connection is given the server process of the first.

    An idle pooler in transaction mode gives a lone client the same process again and again, so that
    one connection alone cannot tell.
    """
    async with AsyncExitStack() as stack:
        served_by = await _process_of(another, stack)
        if served_by is None:
            return
        if served_by == backend:
            raise UnusableError(POOLER)
        try:
            async with asyncio.timeout(COMPARE_SECONDS):
                if await connection.fetchval(BACKEND) != backend:
                    raise UnusableError(POOLER)
        except TimeoutError:  # it waits for a server process, so it has none of its own
            raise UnusableError(POOLER) from None


async def _process_of(
    another: Callable[[], Awaitable[Connection]], stack: AsyncExitStack
) -> int | None:
    """Return the server process of a second connection, kept in a transaction until `stack` ends.

    None if it cannot be had in time: then every server process has its client, as with sessions.
    """
    try:
        async with asyncio.timeout(COMPARE_SECONDS):
            other = await another()
            stack.callback(other.terminate)
            await other.execute("BEGIN")
            found: int = await other.fetchval(BACKEND)
            return found
    except BROKEN_BY_POOLERS:
        raise
    except asyncpg.ProtocolViolationError as error:
        if "transaction" in str(error):  # statement mode has no BEGIN
            raise UnusableError(POOLER) from None
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        pass
    return None
