"""A connection of one's own: opened when first needed, and again after it was lost.

A pool would hand out any connection; the lease, the fan-out and the record stage each want the
same one with settings of its own, and none may wait for another's.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Protocol

import asyncpg

from dispatcher.store.connect import AddressError, ConnectError, connect

CLIENT_GRACE = 5.0
"""Seconds the client waits beyond the server's statement_timeout before it calls the server dead."""

_LOST = (
    OSError,  # refused, reset, unreachable
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,  # "connection is closed", however it came to be
    asyncpg.exceptions.OperatorInterventionError,  # shut down, crashed, starting up
    asyncpg.exceptions.InsufficientResourcesError,  # disk full, too many connections
    asyncpg.exceptions.ReadOnlySQLTransactionError,  # a standby: not our server any more
    asyncpg.exceptions.PostgresSystemError,  # it can not read or write its files
    asyncpg.exceptions.TargetServerAttributeNotMatched,
    asyncpg.exceptions.InternalClientError,
    EOFError,
)
_NOT_NOW = (
    asyncpg.exceptions.TransactionRollbackError,  # a deadlock: the other one may go on
    asyncpg.exceptions.ObjectNotInPrerequisiteStateError,  # a lock that could not be had
    asyncpg.InsufficientPrivilegeError,  # what was revoked can be granted again
)


class StoreUnavailable(Exception):
    """The database can not be asked at present. Nothing is known of the statement's fate."""


class LockTableFullError(StoreUnavailable):
    """The server cannot lock as many relations as a statement reads."""

    def __init__(self) -> None:
        super().__init__(
            "PostgreSQL's lock table is full (out of shared memory): set max_locks_per_transaction"
            " higher, or keep fewer days in [retention]"
        )


class StatementTimeout(Exception):
    """The server gave up on a statement, and rolled it back."""


class Asked(Protocol):
    """What a module of the store asks: a session, a transaction of one, or any of a pool."""

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]: ...


class Transaction:
    """Statements of one transaction, while it is open."""

    def __init__(self, connection: "asyncpg.Connection[Any]", timeout: float) -> None:
        self._connection = connection
        self._timeout = timeout

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]:
        return await self._connection.fetch(query, *args, timeout=self._timeout)


class Session:
    """One connection to the database, for one stage.

    `settings` are server settings of the connection. `on_lost` is called, synchronously, when a
    connection that was open is found to be gone. Statements wait for one another.
    """

    def __init__(
        self,
        dsn: str,
        name: str,
        *,
        statement_timeout: float = 10.0,
        settings: Mapping[str, str] | None = None,
        on_lost: Callable[[], None] | None = None,
    ) -> None:
        self.name = name
        self._dsn = dsn
        self._timeout = statement_timeout
        self._settings = {
            "application_name": f"dispatcher/{name}",
            "jit": "off",
            "timezone": "UTC",
            "statement_timeout": str(int(statement_timeout * 1000)),
            # Waiting for a lock is nobody's fault: told apart from a statement that is too much.
            "lock_timeout": str(int(statement_timeout * 500)),
            "idle_in_transaction_session_timeout": "10000",
            **(settings or {}),
        }
        self.on_lost = on_lost
        self._connection: asyncpg.Connection[Any] | None = None
        self.listening = False
        self._turn = asyncio.Lock()

    def __repr__(self) -> str:
        state = "open" if self._connection else "closed"
        return f"<Session {self.name} {state}>"

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]:
        """The rows of one statement, which is its own transaction (READ COMMITTED).

        Raises StoreUnavailable or StatementTimeout, and the driver's error for a wrong statement.
        """
        async with self._turn, self._asking() as connection:
            return await connection.fetch(query, *args, timeout=self._timeout + CLIENT_GRACE)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator["Transaction"]:
        """Several statements that happen together, or not at all: an exception undoes them.

        For what people change. Nothing slower than a statement may be awaited within. Raises, also
        at its end, what `fetch` does.
        """
        async with self._turn, self._asking() as connection, connection.transaction():
            yield Transaction(connection, self._timeout + CLIENT_GRACE)

    @contextlib.asynccontextmanager
    async def _asking(self) -> AsyncIterator["asyncpg.Connection[Any]"]:
        """The connection, open; what goes wrong with it in the errors of this module."""
        try:
            yield self._connection or await self._connect()
        except asyncpg.QueryCanceledError as error:
            raise StatementTimeout(str(error)) from error
        except TimeoutError as error:
            # A silent server: waiting for an orderly end could take for ever.
            self._lose()
            raise StoreUnavailable("the database does not answer") from error
        except _LOST as error:
            if isinstance(error, asyncpg.exceptions.OutOfMemoryError) and "shared" in str(error):
                raise LockTableFullError from error
            self._lose()
            raise StoreUnavailable(str(error) or type(error).__name__) from error
        except _NOT_NOW as error:
            raise StoreUnavailable(f"{type(error).__name__}: {error.args[0]}") from error
        except asyncio.CancelledError:
            self._lose()  # what is half read can not be read on
            raise

    async def listen(self, channel: str, heard: Callable[[], None]) -> bool:
        """LISTEN on this connection; False when it did so already. `heard` is called each time."""
        async with self._turn:
            try:
                connection = self._connection or await self._connect()
                if self.listening:
                    return False
                await connection.add_listener(channel, lambda *_: heard())
            except (TimeoutError, *_LOST) as error:
                self._lose()
                raise StoreUnavailable(str(error) or type(error).__name__) from error
            self.listening = True
            return True

    async def set(self, setting: str, value: str) -> None:
        """Change a server setting from now on, for this connection and those to come."""
        self._settings[setting] = value
        if self._connection is not None:
            try:
                await self.fetch("SELECT set_config($1, $2, false)", setting, value)
            except (StoreUnavailable, StatementTimeout):
                self._lose()  # the next one opens with it

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        self.listening = False
        if connection is not None:
            with contextlib.suppress(Exception):
                await connection.close(timeout=2)

    def drop(self) -> None:
        """Forget the connection at once; the next statement opens another."""
        self._lose()

    async def _connect(self) -> "asyncpg.Connection[Any]":
        try:
            self._connection = await connect(
                self._dsn, settings=self._settings, timeout_seconds=self._timeout
            )
        except AddressError as error:
            raise StoreUnavailable(str(error)) from None
        except ConnectError as error:
            raise StoreUnavailable(str(error)) from error
        return self._connection

    def _lose(self) -> None:
        connection, self._connection = self._connection, None
        self.listening = False
        if connection is not None:
            connection.terminate()
            if self.on_lost is not None:
                self.on_lost()
