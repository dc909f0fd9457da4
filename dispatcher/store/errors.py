"""The errors of the store, and how the driver's errors become these errors."""

from typing import Any

import asyncpg

from dispatcher.store.connection.connect_errors import BROKEN_BY_POOLERS, POOLER

_LOST = (
    OSError,  # refused, reset, unreachable; a TimeoutError is an OSError too
    EOFError,
    asyncpg.PostgresConnectionError,
    asyncpg.exceptions.OperatorInterventionError,  # shut down, crashed, starting up
    asyncpg.exceptions.InsufficientResourcesError,  # disk full, too many connections
    # the server became a standby, so it is the wrong server
    asyncpg.exceptions.ReadOnlySQLTransactionError,
    asyncpg.exceptions.PostgresSystemError,  # the server cannot read or write its files
    asyncpg.exceptions.TargetServerAttributeNotMatched,
    asyncpg.exceptions.InternalClientError,
)
_CONFLICT = (
    asyncpg.exceptions.TransactionRollbackError,  # a deadlock, or a serialization failure
    asyncpg.exceptions.ObjectNotInPrerequisiteStateError,  # a lock that was not free in time
)


class StoreError(Exception):
    """The database did not do what was asked. The same call may succeed later."""


class StoreUnavailableError(StoreError):
    """The database cannot be reached now. It is unknown whether the statement took effect."""


class TransactionConflictError(StoreError):
    """Another transaction was in the way. Nothing was written."""


class PermissionDeniedError(StoreError):
    """Our role lacks a right. When the right is granted, the same statement succeeds."""


class LockTableFullError(StoreError):
    """The server cannot lock as many relations as a statement reads."""

    def __init__(self) -> None:
        super().__init__(
            "PostgreSQL's lock table is full (out of shared memory): set max_locks_per_transaction"
            " higher, or keep fewer days in [retention]"
        )


class StatementTimeoutError(Exception):
    """The server gave up on a statement and rolled it back."""


def means_lost(error: Exception, connection: "asyncpg.Connection[Any]") -> bool:
    """Return True if the connection can no longer be used.

    The driver raises InterfaceError also for mistakes of the caller, such as a wrong number of
    arguments. Then the connection is still good. If the connection was dropped between two steps
    of a statement, the driver may raise any error, also an AttributeError.
    """
    if isinstance(error, BROKEN_BY_POOLERS):
        return True
    if isinstance(error, asyncpg.QueryCanceledError) or _is_lock_table_full(error):
        return False
    if isinstance(error, _LOST):
        return True
    return not isinstance(error, asyncpg.PostgresError) and connection.is_closed()


def _is_lock_table_full(error: Exception) -> bool:
    """Return True if a statement found no room for its locks. The session survives that."""
    return isinstance(error, asyncpg.exceptions.OutOfMemoryError) and "shared" in str(error)


def translated(error: Exception, *, lost: bool, role: str) -> Exception | None:
    """Return this module's error for a driver's error, or None to raise it unchanged."""
    match error:
        case asyncpg.QueryCanceledError():
            return StatementTimeoutError(str(error))
        case TimeoutError():  # the server is silent
            return StoreUnavailableError("the database does not answer")
        case _ if isinstance(error, BROKEN_BY_POOLERS):
            return StoreUnavailableError(POOLER)
        case asyncpg.InsufficientPrivilegeError():
            return PermissionDeniedError(permission_denied(error, role))
        case asyncpg.exceptions.OutOfMemoryError() if _is_lock_table_full(error):
            return LockTableFullError()
        case _ if lost:
            return StoreUnavailableError(str(error) or type(error).__name__)
        case _ if isinstance(error, _CONFLICT):
            return TransactionConflictError(f"{type(error).__name__}: {error.args[0]}")
        case _:
            return None


def permission_denied(error: asyncpg.InsufficientPrivilegeError, role: str) -> str:
    """Return a sentence with the refused action, the role, and what to do."""
    return (
        f"{error.args[0]}, as role {role}: database.dsn must name the role that ran"
        " dispatcher migrate, or a member of it"
    )


def refused_by_server(error: BaseException) -> bool:
    """Return True if the server refused the statement. Then the transaction is over."""
    cause = error.__cause__ if isinstance(error, StoreError | StatementTimeoutError) else error
    # An error that the driver itself raises has no severity.
    return getattr(cause, "severity", None) is not None
