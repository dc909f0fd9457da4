"""Keep one connection: open it when first needed, and again after it was lost.

A pool would hand out any connection. The lease, the fan-out and the record stage each need one of
their own, always the same, with settings of its own, and none may wait for another's statement.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from typing import Any, Protocol

import asyncpg

from dispatcher.store import errors
from dispatcher.store.connection.connect import AddressError, ConnectError, connect
from dispatcher.store.connection.connection_settings import (
    SettingRefusedError,
    connection_settings,
    finish,
)
from dispatcher.store.errors import StatementTimeoutError, StoreError, StoreUnavailableError

CLIENT_GRACE_SECONDS = 5.0
"""Seconds that the client waits beyond statement_timeout before it takes the server for dead."""


class Queryable(Protocol):
    """An object that runs statements: a session, a transaction, or a pool."""

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]: ...


class Transaction:
    """The statements of one open transaction."""

    def __init__(self, session: "Session", connection: "asyncpg.Connection[Any]") -> None:
        self._session = session
        self._connection = connection
        self._failure: Exception | None = None

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]:
        """Return the rows of one statement. Raise what Session.fetch raises.

        After the server has refused a statement, the transaction can only be rolled back.
        """
        with self._noting_refusal():
            return await self._session.ask(self._connection, query, *args)

    async def read(self, query: str, *args: object) -> list[asyncpg.Record]:
        """Return the rows of one statement that changes nothing, and give its locks back.

        Otherwise a statement for each span of the history would lock all of its partitions in the
        end. Raise what `fetch` raises.
        """
        with self._noting_refusal():
            await self._session.run(self._connection, "SAVEPOINT reading")
            rows = await self._session.ask(self._connection, query, *args)
            await self._session.run(
                self._connection, "ROLLBACK TO SAVEPOINT reading; RELEASE SAVEPOINT reading"
            )
        return rows

    def check(self) -> None:
        """Raise the error of a failed statement that the body ignored.

        Otherwise the commit would report success and write nothing.
        """
        if self._failure is not None:
            raise self._failure

    @contextlib.contextmanager
    def _noting_refusal(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if errors.refused_by_server(error):
                self._failure = error
            raise


class ReadsOfTransaction:
    """Statements within a transaction that change nothing and keep no lock.

    See Transaction.read.
    """

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]:
        """Return the rows of one statement."""
        return await self._transaction.read(query, *args)


def without_locks(session: Queryable) -> Queryable:
    """Return what runs statements that change nothing, and keeps no lock after each of them."""
    return ReadsOfTransaction(session) if isinstance(session, Transaction) else session


class Session:
    """One connection to the database, for one stage. Its statements wait for one another.

    `settings` are server settings that override those of every connection (connection_settings.py).

    Times are in seconds. `statement_timeout` is how long the server works on one statement.
    `answer_timeout` is how long the client waits for the answer before it takes the connection for
    dead: CLIENT_GRACE_SECONDS more by default. `connect_timeout` limits opening a connection; by
    default it is as long as a statement.

    `on_lost` is called synchronously when an open connection is lost or dropped, but not by
    `close`. `on_silent` is called after it if no answer came.
    """

    def __init__(
        self,
        dsn: str,
        name: str,
        *,
        statement_timeout: float = 10.0,
        answer_timeout: float | None = None,
        connect_timeout: float | None = None,
        settings: Mapping[str, str] | None = None,
        on_lost: Callable[[], None] | None = None,
    ) -> None:
        self.name = name
        self._dsn = dsn
        self._answer_timeout = answer_timeout or statement_timeout + CLIENT_GRACE_SECONDS
        self._connect_timeout = connect_timeout or statement_timeout
        self._settings = {
            "statement_timeout": str(int(statement_timeout * 1000)),
            # Shorter, so that waiting for a lock raises an error of its own.
            "lock_timeout": str(int(statement_timeout * 500)),
            **(settings or {}),
        }
        self.on_lost = on_lost
        self.on_silent: Callable[[], None] | None = None
        self._connection: asyncpg.Connection[Any] | None = None
        self._role = ""
        self._channels: set[str] = set()
        self._turn = asyncio.Lock()

    def listens_to(self, channel: str) -> bool:
        """Return True if this connection listens to the channel."""
        return channel in self._channels

    def __repr__(self) -> str:
        state = "open" if self._connection else "closed"
        return f"<Session {self.name} {state}>"

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]:
        """Return the rows of one statement. It is a transaction of its own (READ COMMITTED).

        Raise StoreError or StatementTimeoutError, or the driver's error if the statement or a
        value is wrong.
        """
        async with self._turn:
            return await self.ask(await self._opened(), query, *args)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator["Transaction"]:
        """Run several statements that take effect together or not at all.

        Use it for changes that belong together. Await nothing in the body that is slower than a
        statement. An exception of the body rolls back and is raised as it is. Raise what `fetch`
        raises, also at the end. If the body ignored a failed statement, its error is raised at the
        end, because nothing was written.
        """
        async with self._turn:
            connection = await self._opened()
            transaction = connection.transaction()
            await self._begin(connection, transaction)
            opened = Transaction(self, connection)
            try:
                yield opened
                opened.check()
            except asyncio.CancelledError:
                self._lose(connection)
                raise
            except BaseException:
                await self._undo(connection, transaction)
                raise
            with self._answering(connection):
                await self._in_time(transaction.commit())

    async def ask(
        self, connection: "asyncpg.Connection[Any]", query: str, *args: object
    ) -> list[asyncpg.Record]:
        """Return the rows of one statement on a connection whose lock we hold. For Transaction."""
        with self._answering(connection):
            return await connection.fetch(query, *args, timeout=self._answer_timeout)

    async def run(self, connection: "asyncpg.Connection[Any]", command: str) -> None:
        """Run a command without a result on a connection whose lock we hold. For Transaction."""
        with self._answering(connection):
            await connection.execute(command, timeout=self._answer_timeout)

    async def _in_time(self, answer: Coroutine[Any, Any, None]) -> None:
        async with asyncio.timeout(self._answer_timeout):
            await answer

    async def _begin(
        self, connection: "asyncpg.Connection[Any]", transaction: "asyncpg.transaction.Transaction"
    ) -> None:
        """Begin a transaction. Drop the connection if that fails.

        Otherwise the driver would take the next one for a part of it, and fail each time.
        """
        try:
            with self._answering(connection):
                await self._in_time(transaction.start())
        except BaseException:
            self._lose(connection)
            raise

    async def _undo(
        self, connection: "asyncpg.Connection[Any]", transaction: "asyncpg.transaction.Transaction"
    ) -> None:
        """Roll back, or drop the connection, which has the same effect. Raise no own error."""
        if self._connection is not connection:
            return
        try:
            await self._in_time(transaction.rollback())
        except asyncio.CancelledError:
            self._lose(connection)
            raise
        except Exception:  # noqa: BLE001 the body's own error is the one to be raised
            self._lose(connection)

    @contextlib.contextmanager
    def _answering(self, connection: "asyncpg.Connection[Any]") -> Iterator[None]:
        """Translate the driver's errors. Put only calls of the driver into the block."""
        try:
            yield
        except asyncio.CancelledError:
            self._lose(connection)  # a half-read answer cannot be read to its end
            raise
        except Exception as error:
            lost = errors.means_lost(error, connection)
            if lost:
                self._lose(connection)
            if isinstance(error, TimeoutError) and self.on_silent is not None:
                self.on_silent()
            if (translated := errors.translated(error, lost=lost, role=self._role)) is None:
                raise
            raise translated from error

    async def open(self) -> None:
        """Open the connection if there is none. Raise StoreError."""
        async with self._turn:
            await self._opened()

    async def listen(self, channel: str, heard: Callable[[], None]) -> bool:
        """Listen to a channel on this connection. Return False if it listens to it already.

        `heard` is called for each notification. Raise StoreError or StatementTimeoutError.
        """
        async with self._turn:
            connection = await self._opened()
            if channel in self._channels:
                return False
            with self._answering(connection):
                await self._in_time(connection.add_listener(channel, lambda *_: heard()))
            if self._connection is connection:  # it may have been dropped
                self._channels.add(channel)
            return True

    async def set(self, setting: str, value: str) -> None:
        """Change a server setting for this connection and for later ones."""
        async with self._turn:
            self._settings[setting] = value
            connection = self._connection
            if connection is None:
                return
            try:
                await self.ask(connection, "SELECT set_config($1, $2, false)", setting, value)
            except (StoreError, StatementTimeoutError):
                self._lose(connection)  # the next connection opens with the new value

    async def close(self) -> None:
        """Close the connection if there is one. Wait at most 2 seconds."""
        connection, self._connection = self._connection, None
        self._channels.clear()
        if connection is not None:
            with contextlib.suppress(Exception):
                await connection.close(timeout=2)

    @property
    def is_open(self) -> bool:
        """Return True if there is a connection, as far as is known."""
        return self._connection is not None

    @property
    def is_busy(self) -> bool:
        """Return True while a statement or a transaction runs, or the connection opens."""
        return self._turn.locked()

    def drop_closed(self) -> None:
        """Drop the connection if the server has closed it. The next statement opens another.

        Otherwise the next statement would raise StoreError although the server is there.
        """
        if self._connection is not None and self._connection.is_closed():
            self._lose(self._connection)

    def drop(self) -> None:
        """Drop the connection at once. The next statement opens another."""
        self._lose(self._connection)

    async def _opened(self) -> "asyncpg.Connection[Any]":
        if self._connection is not None:
            return self._connection
        settings = connection_settings(self.name, self._settings)
        try:
            connection = await connect(
                self._dsn, settings=settings, timeout_seconds=self._connect_timeout
            )
        except AddressError as error:
            raise StoreUnavailableError(str(error)) from None
        except ConnectError as error:
            raise StoreUnavailableError(str(error)) from error
        try:
            with self._answering(connection):
                self._role = await finish(connection, timeout_seconds=self._answer_timeout)
        except BaseException as error:
            connection.terminate()  # it is unknown which settings took effect
            if isinstance(error, SettingRefusedError):
                raise StoreUnavailableError(str(error)) from error
            raise
        self._connection = connection
        return connection

    def _lose(self, connection: "asyncpg.Connection[Any] | None") -> None:
        """Drop this connection, unless another one was opened since."""
        if connection is None or connection is not self._connection:
            return
        self._connection = None
        self._channels.clear()
        connection.terminate()
        if self.on_lost is not None:
            self.on_lost()
