"""What can be expected to go wrong, in sentences for whoever typed the command."""

import re
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any, ClassVar

import click

if TYPE_CHECKING:
    from dispatcher.client import ClientError

_NO_SCHEMA = ("3F000", "42P01", "42883", "42703")
"""No such schema, table, function, column: not migrated, or not far enough."""


class Failure(click.ClickException):
    """Ends the command with its sentences on standard error, and nothing else."""

    exit_code: ClassVar[int] = 1

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(self.message, file=file, err=file is None)


class Misuse(Failure):
    """Wrong usage or configuration: the same again can not go well."""

    exit_code: ClassVar[int] = 2


def explain(error: BaseException) -> Failure | None:
    """What to say; None for what nobody expected, which deserves its traceback."""
    from dispatcher.client import ClientError
    from dispatcher.config.sections import ConfigError

    if isinstance(error, ConfigError):
        return Misuse(str(error))
    if isinstance(error, ClientError):
        return _of_the_api(error)
    if isinstance(error, BaseExceptionGroup):
        return _explain_all(error)
    if getattr(error, "sqlstate", None):
        return Failure(_refusal(error))
    return _explain_one(error)


def _explain_all(group: BaseExceptionGroup) -> Failure | None:
    explained = [explain(error) for error in group.exceptions]
    known = [failure for failure in explained if failure]
    if len(known) < len(explained):
        return None
    return type(known[0])("\n".join(dict.fromkeys(failure.message for failure in known)))


def _explain_one(error: BaseException) -> Failure | None:
    from dispatcher.core.errors import Invalid, Refused
    from dispatcher.embedded_postgres.server import PostgresUnavailable
    from dispatcher.encryption.keyring import KeyRefused
    from dispatcher.schema_validation.worker import SandboxUnavailable
    from dispatcher.store.address import AddressError
    from dispatcher.store.events import EventRefused
    from dispatcher.store.migrate import MigrationError
    from dispatcher.store.session import (
        PermissionDeniedError,
        StatementTimeout,
        StoreUnavailable,
    )

    complete = (
        KeyRefused
        | MigrationError
        | PostgresUnavailable
        | Refused
        | EventRefused
        | SandboxUnavailable
    )
    match error:
        case Invalid() | AddressError():
            return Misuse(str(error))
        case PostgresUnavailable(__cause__=OSError()):
            return Failure(f"{error} (database.state_directory says where it keeps its data)")
        case _ if isinstance(error, complete | PermissionDeniedError):
            return Failure(str(error))
        case StoreUnavailable():
            return Failure(f"the database is not available: {error}")
        case StatementTimeout():
            return Failure("the database took longer than database.statement_timeout")
        case OSError(filename=str(name), strerror=str(reason)):
            return Failure(f"{name}: {reason}")
        case OSError():
            return Failure(str(error))
        case _:
            return None


def _of_the_api(error: "ClientError") -> Failure:
    """A line for each thing that is wrong, and where."""
    from dispatcher.client import ApiError, Invalid, Unauthorized

    if not isinstance(error, ApiError):
        return Failure(f"the API does not answer: {error}")
    said = "\n".join(_detail(detail) for detail in error.details) or error.message
    if isinstance(error, Unauthorized):
        return Failure(f"the API refuses the token: {said}")
    return Misuse(said) if isinstance(error, Invalid) else Failure(said)


def _detail(detail: Mapping[str, str]) -> str:
    pointed = detail.get("pointer", "").strip("/").replace("/", ".")
    place = pointed or detail.get("parameter") or detail.get("header")
    return f"{place}: {detail['message']}" if place else detail["message"]


def _refusal(error: Any) -> str:
    """What PostgreSQL refused and why, from the driver's error."""
    message, constraint, detail, hint = (
        getattr(error, name, None) for name in ("message", "constraint_name", "detail", "hint")
    )
    if message is None:  # the driver's own error
        unsent = error.sqlstate == "22000"
        return (
            "a value can not be sent to the database: is it UTF-8 text?" if unsent else str(error)
        )
    if error.sqlstate in _NO_SCHEMA:
        return "the database lacks what this version needs: run dispatcher migrate"
    # Constraints are named by sentences, so that every producer reads one.
    if constraint and " " in constraint:
        return str(constraint)
    if error.sqlstate == "42501":
        return f"{message}{_right(message)}"
    if error.sqlstate == "22P02" and message == "invalid input syntax for type json":
        return f"the data is not JSON: {detail}"
    return f"{message} ({hint})" if hint else str(message)


def _right(message: str) -> str:
    """Return what would give the right that PostgreSQL says is missing, for those we know."""
    if database := re.fullmatch(r"permission denied for database (.+)", message):
        return (
            f": dispatcher migrate makes a schema, so let the owner of the database run it, or GRANT"
            f" CREATE ON DATABASE {database[1]} to the role of database.dsn"
        )
    if re.match(r"permission denied for (schema|table|function) ", message):
        return (
            ": database.dsn must name the role that ran dispatcher migrate, or a role that is a member"
            " of it (GRANT one TO the other)"
        )
    return ""
