"""Prepare a new connection: put its settings in force, and verify that it keeps one session.

Poolers refuse settings among the parameters of a connection, so a statement sets them. That also
overrides `ALTER ROLE … SET`, `ALTER DATABASE … SET` and the options of the address.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, TypeAlias

import asyncpg

from dispatcher.store.connection.connect_errors import BROKEN_BY_POOLERS, POOLER
from dispatcher.store.statements import statement

Connection: TypeAlias = "asyncpg.Connection[Any]"

OLDEST_SERVER = 14
COMPARE_SECONDS = 2.0
"""Limit for a second connection through a pooler.

If the pooler gives none in that time, it has no free server.
"""
NO_LIMITS = "SET statement_timeout = 0; SET idle_session_timeout = 0"
BACKEND = "SELECT pg_catalog.pg_backend_pid()"


class UnusableError(Exception):
    """This server, or the pooler before it, cannot be used. The message says why."""


async def prepare(
    connection: Connection,
    settings: Mapping[str, str],
    *,
    another: Callable[[], Awaitable[Connection]] | None,
) -> None:
    """Put `settings` in force, and verify that they stay in force.

    `another` opens a second connection to find out which kind of pooler is in between. It is None
    if that is known. Raise UnusableError, or the driver's errors.
    """
    version = connection.get_server_version()
    if message := too_old(version.major, version.minor):
        raise UnusableError(message)
    try:
        await _prepare(connection, settings, another)
    except BROKEN_BY_POOLERS:
        raise UnusableError(POOLER) from None


def too_old(major: int, minor: int) -> str | None:
    """Return the problem with a version of PostgreSQL, or None if it is supported."""
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
    # Otherwise the role's own limits could end the statement that replaces them.
    await connection.execute(NO_LIMITS)
    configured = await configure(connection, settings)
    if configured["standby"]:
        raise UnusableError("the server is a standby, which cannot write")
    backend = configured["backend"]
    # A pooler reports a process id of its own, because it does not know yet which server it will
    # use.
    if another and backend != connection.get_server_pid():
        await _refuse_shared(connection, backend, another)
    verified = await verify(connection, configured["names"] or [])
    if (verified["backend"], verified["values"]) != (backend, configured["values"]):
        raise UnusableError(POOLER)


async def configure(connection: Connection, settings: Mapping[str, str]) -> asyncpg.Record:
    """Set the `settings` that this server knows. Return `backend standby names values`."""
    rows: list[asyncpg.Record] = await connection.fetch(
        statement("setup/configure"), list(settings), list(settings.values())
    )
    return rows[0]


async def verify(connection: Connection, names: Sequence[str]) -> asyncpg.Record:
    """Return the current `values` of settings, and the `backend` that answered."""
    rows: list[asyncpg.Record] = await connection.fetch(statement("setup/verify"), names)
    return rows[0]


async def _refuse_shared(
    connection: Connection, backend: int, another: Callable[[], Awaitable[Connection]]
) -> None:
    """Raise UnusableError if two connections share one server process.

    An idle pooler in transaction mode gives a single client the same process again and again. So
    one connection alone cannot show the difference.
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
    """Return the server process of a second connection, and hold it until `stack` ends.

    Return None if there is no connection in time. Then every server process has its own client, as
    in session mode.
    """
    try:
        async with asyncio.timeout(COMPARE_SECONDS):
            other = await another()
            stack.callback(other.terminate)
            await other.execute("BEGIN")
            process_id: int = await other.fetchval(BACKEND)
            return process_id
    except BROKEN_BY_POOLERS:
        raise
    except asyncpg.ProtocolViolationError as error:
        if "transaction" in str(error):  # statement mode has no BEGIN
            raise UnusableError(POOLER) from None
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        pass
    return None
