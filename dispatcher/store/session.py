"""A connection of one's own: opened when first needed, and again after it was lost.

A pool would hand out any connection; the lease, the fan-out and the record stage each want the
same one with settings of its own, and none may wait for another's.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from typing import Any, Protocol

import asyncpg

from dispatcher.store.connect import AddressError, ConnectError, connect
from dispatcher.store.connect_errors import BROKEN_BY_POOLERS, POOLER
from dispatcher.store.connection_settings import SettingRefusedError, connection_settings, finish

CLIENT_GRACE = 5.0
"""Seconds the client waits beyond the server's statement_timeout before it calls the server dead."""

_LOST = (
    OSError,  # refused, reset, unreachable; a TimeoutError is one, too
    EOFError,
    asyncpg.PostgresConnectionError,
    asyncpg.exceptions.OperatorInterventionError,  # shut down, crashed, starting up
    asyncpg.exceptions.InsufficientResourcesError,  # disk full, too many connections
    asyncpg.exceptions.ReadOnlySQLTransactionError,  # a standby: not our server any more
    asyncpg.exceptions.PostgresSystemError,  # it cannot read or write its files
    asyncpg.exceptions.TargetServerAttributeNotMatched,
    asyncpg.exceptions.InternalClientError,
)
_CONFLICT = (
    asyncpg.exceptions.TransactionRollbackError,  # a deadlock, or a serialization failure
    asyncpg.exceptions.ObjectNotInPrerequisiteStateError,  # a lock that could not be had in time
)


class StoreUnavailable(Exception):
    """The database cannot be asked at present. Nothing is known of the statement's fate."""


class TransactionConflictError(StoreUnavailable):
    """Another transaction was in the way. Nothing was written; the same again may succeed."""


class PermissionDeniedError(StoreUnavailable):
    """Our role lacks a right. A right that is granted again makes the same statement succeed."""


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

    def __init__(self, session: "Session", connection: "asyncpg.Connection[Any]") -> None:
        self._session = session
        self._connection = connection
        self._failure: Exception | None = None

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]:
        """Return the rows of one statement. Raises what Session.fetch does.

        After a statement that the server refused, the transaction can only be undone.
        """
        try:
            return await self._session.ask(self._connection, query, *args)
        except Exception as error:
            if _refused_by_server(error):
                self._failure = error
            raise

    def check(self) -> None:
        """Raise the failure of a statement that the body ignored: a commit would write nothing."""
        if self._failure is not None:
            raise self._failure


class Session:
    """One connection to the database, for one stage.

    `settings` are server settings beside and above those that every connection has
    (connection_settings.py). `statement_timeout` is how many seconds the server works on one
    statement, `answer_timeout` how many the client waits for its answer before it calls the
    connection dead (CLIENT_GRACE more by default), `connect_timeout` those for opening a connection
    (as many as a statement by default). `on_lost` is called, synchronously, when a connection that
    was open is found to be gone, and `on_silent` after it when that was because no answer came.
    Statements wait for one another.
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
        self._answer_timeout = answer_timeout or statement_timeout + CLIENT_GRACE
        self._connect_timeout = connect_timeout or statement_timeout
        self._settings = {
            "statement_timeout": str(int(statement_timeout * 1000)),
            # Waiting for a lock is another's fault: not the same as a statement that is too much.
            "lock_timeout": str(int(statement_timeout * 500)),
            **(settings or {}),
        }
        self.on_lost = on_lost
        self.on_silent: Callable[[], None] | None = None
        self._connection: asyncpg.Connection[Any] | None = None
        self._role = ""
        self.listening = False
        self._turn = asyncio.Lock()

    def __repr__(self) -> str:
        state = "open" if self._connection else "closed"
        return f"<Session {self.name} {state}>"

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]:
        """Return the rows of one statement, which is its own transaction (READ COMMITTED).

        Raises StoreUnavailable or StatementTimeout, and the driver's error for a statement or a
        value that is wrong.
        """
        async with self._turn:
            return await self.ask(await self._opened(), query, *args)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator["Transaction"]:
        """Run several statements that happen together, or not at all: an exception undoes them.

        For what people change. Nothing slower than a statement may be awaited within. An exception
        of the body is raised as it is. Raises, also at its end, what `fetch` does; a failure of a
        statement that the body ignored is raised at the end, since nothing was written.
        """
        async with self._turn:
            connection = await self._opened()
            transaction = connection.transaction()
            with self._answering(connection):
                await self._in_time(transaction.start())
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
        """Return the rows of one statement on a connection whose turn is ours; for Transaction."""
        with self._answering(connection):
            return await connection.fetch(query, *args, timeout=self._answer_timeout)

    async def _in_time(self, answer: Coroutine[Any, Any, None]) -> None:
        async with asyncio.timeout(self._answer_timeout):
            await answer

    async def _undo(
        self, connection: "asyncpg.Connection[Any]", transaction: "asyncpg.transaction.Transaction"
    ) -> None:
        """Roll back, or give the connection up, which does the same. Raises nothing of its own."""
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
        """Translate what the driver raises; only calls of the driver belong into the block."""
        try:
            yield
        except asyncio.CancelledError:
            self._lose(connection)  # what is half read cannot be read on
            raise
        except Exception as error:
            lost = _means_lost(error, connection)
            if lost:
                self._lose(connection)
            if isinstance(error, TimeoutError) and self.on_silent is not None:
                self.on_silent()
            if (translated := _translated(error, lost=lost, role=self._role)) is None:
                raise
            raise translated from error

    async def listen(self, channel: str, heard: Callable[[], None]) -> bool:
        """Listen on this connection; return False if it did so already.

        `heard` is called each time. Raises StoreUnavailable and StatementTimeout.
        """
        async with self._turn:
            connection = await self._opened()
            if self.listening:
                return False
            with self._answering(connection):
                await self._in_time(connection.add_listener(channel, lambda *_: heard()))
            self.listening = True
            return True

    async def set(self, setting: str, value: str) -> None:
        """Change a server setting from now on, for this connection and those to come."""
        async with self._turn:
            self._settings[setting] = value
            connection = self._connection
            if connection is None:
                return
            try:
                await self.ask(connection, "SELECT set_config($1, $2, false)", setting, value)
            except (StoreUnavailable, StatementTimeout):
                self._lose(connection)  # the next one opens with it

    async def close(self) -> None:
        """Close the connection if there is one; wait at most 2 seconds."""
        connection, self._connection = self._connection, None
        self.listening = False
        if connection is not None:
            with contextlib.suppress(Exception):
                await connection.close(timeout=2)

    @property
    def is_open(self) -> bool:
        """Whether there is a connection, as far as is known."""
        return self._connection is not None

    @property
    def is_busy(self) -> bool:
        """Whether a statement is under way."""
        return self._turn.locked()

    def drop(self) -> None:
        """Forget the connection at once; the next statement opens another."""
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
            raise StoreUnavailable(str(error)) from None
        except ConnectError as error:
            raise StoreUnavailable(str(error)) from error
        try:
            with self._answering(connection):
                self._role = await finish(connection, timeout_seconds=self._answer_timeout)
        except BaseException as error:
            connection.terminate()  # its settings are not known to hold
            if isinstance(error, SettingRefusedError):
                raise StoreUnavailable(str(error)) from error
            raise
        self._connection = connection
        return connection

    def _lose(self, connection: "asyncpg.Connection[Any] | None") -> None:
        """Give up this connection; not one that was opened since."""
        if connection is None or connection is not self._connection:
            return
        self._connection = None
        self.listening = False
        connection.terminate()
        if self.on_lost is not None:
            self.on_lost()


def _means_lost(error: Exception, connection: "asyncpg.Connection[Any]") -> bool:
    """Return whether the connection is of no more use.

    InterfaceError is also raised for mistakes of ours, such as a wrong number of arguments.
    """
    if isinstance(error, asyncpg.InterfaceError):
        return connection.is_closed()
    if isinstance(error, BROKEN_BY_POOLERS):
        return True
    if _is_lock_table_full(error):
        return False
    return isinstance(error, _LOST) and not isinstance(error, asyncpg.QueryCanceledError)


def _is_lock_table_full(error: Exception) -> bool:
    """Return whether a statement found no room for its locks, which the session survives."""
    return isinstance(error, asyncpg.exceptions.OutOfMemoryError) and "shared" in str(error)


def _translated(error: Exception, *, lost: bool, role: str) -> Exception | None:
    """Return the driver's error in the words of this module; None for what is raised as it is."""
    match error:
        case asyncpg.QueryCanceledError():
            return StatementTimeout(str(error))
        case TimeoutError():  # a silent server: waiting for an orderly end would not return
            return StoreUnavailable("the database does not answer")
        case _ if isinstance(error, BROKEN_BY_POOLERS):
            return StoreUnavailable(POOLER)
        case asyncpg.InsufficientPrivilegeError():
            return PermissionDeniedError(permission_denied(error, role))
        case asyncpg.exceptions.OutOfMemoryError() if _is_lock_table_full(error):
            return LockTableFullError()
        case _ if lost:
            return StoreUnavailable(str(error) or type(error).__name__)
        case _ if isinstance(error, _CONFLICT):
            return TransactionConflictError(f"{type(error).__name__}: {error.args[0]}")
        case _:
            return None


def permission_denied(error: asyncpg.InsufficientPrivilegeError, role: str) -> str:
    """Return a sentence that names what was refused, to which role, and what to do."""
    return (
        f"{error.args[0]}, as role {role}: database.dsn must name the role that ran"
        " dispatcher migrate, or a member of it"
    )


def _refused_by_server(error: BaseException) -> bool:
    """Return whether the server, not the driver, refused: then the transaction is over."""
    cause = error.__cause__ if isinstance(error, StoreUnavailable | StatementTimeout) else error
    # An error that the driver makes itself carries no severity.
    return getattr(cause, "severity", None) is not None
