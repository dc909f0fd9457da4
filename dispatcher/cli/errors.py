"""Expected errors, as sentences for people who use the command line."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, ClassVar

import click

if TYPE_CHECKING:
    from dispatcher.client import ClientError
    from dispatcher.store.errors import StoreError

_NO_SCHEMA = ("3F000", "42P01", "42883", "42703")
"""SQLSTATE of a missing schema, table, function or column: the database lacks migrations."""

_NO_JSON = ("22P02", "invalid input syntax for type json")
"""SQLSTATE and message for data that is not JSON."""

_STATEMENT_TIMEOUT = (
    "The database took longer than database.statement_timeout. Try again, or raise the setting."
)


class CommandError(click.ClickException):
    """An error that ends the command and prints only its message, on standard error."""

    exit_code: ClassVar[int] = 1

    def show(self, file: IO[Any] | None = None) -> None:
        """Print only the message, without the prefix that click adds."""
        click.echo(self.message, file=file, err=file is None)


class MisuseError(CommandError):
    """Wrong usage, input or configuration: running the same command again cannot help."""

    exit_code: ClassVar[int] = 2


@contextmanager
def explaining() -> Iterator[None]:
    """Raise the failure to report in place of an expected error.

    Within a command, its message names the options of that command.
    """
    try:
        yield
    except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
        raise  # click ends silently if the reader of a pipe has gone, such as head
    except Exception as error:
        failure = explain(error)
        if failure is None:
            raise
        raise failure from error


def explain(error: BaseException) -> CommandError | None:
    """Return the failure to report, None for an unexpected error, which keeps its traceback."""
    from dispatcher.client import ClientError
    from dispatcher.config.sections import ConfigError

    if isinstance(error, ConfigError):
        return MisuseError(str(error))
    if isinstance(error, ClientError):
        return _explain_api_error(error)
    if isinstance(error, BaseExceptionGroup):
        return _explain_group(error)
    if getattr(error, "sqlstate", None):
        kind = MisuseError if _is_of_input(error) else CommandError
        return kind(_explain_database_error(error))
    return _explain_one(error)


def _explain_group(group: BaseExceptionGroup) -> CommandError | None:
    explained = [explain(error) for error in group.exceptions]
    known = [failure for failure in explained if failure]
    if len(known) < len(explained):
        return None
    return type(known[0])("\n".join(dict.fromkeys(failure.message for failure in known)))


def _explain_one(error: BaseException) -> CommandError | None:
    """Return the failure for an expected error, None for any other."""
    from dispatcher.core.errors import RefusedError
    from dispatcher.embedded_postgres.server import PostgresUnavailableError
    from dispatcher.encryption.keyring import KeyRejectedError
    from dispatcher.schema_validation.worker import SandboxUnavailableError
    from dispatcher.store.errors import (
        PermissionDeniedError,
        StatementTimeoutError,
        StoreError,
    )
    from dispatcher.store.migration.migrate import MigrationError
    from dispatcher.store.queries.events import EventRejectedError

    complete = (
        KeyRejectedError
        | MigrationError
        | PostgresUnavailableError
        | RefusedError
        | EventRejectedError
        | SandboxUnavailableError
    )
    match error:
        case _ if _is_invalid(error):
            return MisuseError(str(error))
        case PostgresUnavailableError(__cause__=OSError()):
            return CommandError(f"{error} (database.state_directory says where it keeps its data)")
        case _ if isinstance(error, complete | PermissionDeniedError):
            return CommandError(str(error))
        case StoreError():
            return CommandError(_store_problem(error))
        case StatementTimeoutError():
            return CommandError(_STATEMENT_TIMEOUT)
        case OSError(filename=str(name), strerror=str(reason)):
            return CommandError(f"{name}: {reason}")
        case OSError():
            return CommandError(str(error))
        case _:
            return None


def _is_invalid(error: BaseException) -> bool:
    """Return True if an input is invalid, independent of what the database holds."""
    from dispatcher.client.resources import ArgumentError
    from dispatcher.core.errors import InvalidError
    from dispatcher.store.connection.address import AddressError
    from dispatcher.store.queries.events import EventRejectedError, UnknownEnvironmentError

    if isinstance(error, UnknownEnvironmentError):
        return False
    return isinstance(error, ArgumentError | InvalidError | AddressError | EventRejectedError)


def _store_problem(error: "StoreError") -> str:
    from dispatcher.store.errors import StoreUnavailableError

    is_away = isinstance(error, StoreUnavailableError)
    return f"The database {'is not available' if is_away else 'refused'}: {error}"


def _explain_api_error(error: "ClientError") -> CommandError:
    """Return the failure for an error of the API, with a line for each problem and where it is."""
    from dispatcher.client import ApiError, InvalidError, UnauthorizedError

    if not isinstance(error, ApiError):
        return CommandError(f"The API does not answer: {error}")
    message = "\n".join(_detail(detail) for detail in error.details) or error.message
    if isinstance(error, UnauthorizedError):
        return CommandError(f"The API refuses the token: {message}")
    return MisuseError(message) if isinstance(error, InvalidError) else CommandError(message)


def _detail(detail: Mapping[str, str]) -> str:
    field = detail.get("pointer", "").strip("/").replace("/", ".")
    source = _option(field or detail.get("parameter") or "") or detail.get("header")
    return f"{source}: {detail['message']}" if source else detail["message"]


def _option(field: str) -> str:
    """Return the option of the running command that sets a field, else the name of the field."""
    context = click.get_current_context(silent=True)
    name = re.sub(r"(?<=[a-z])([A-Z])", r"_\1", field).lower()
    for param in context.command.params if context is not None else ():
        if isinstance(param, click.Option) and param.name == name:
            return param.opts[0]
    return field


def _is_of_input(error: BaseException) -> bool:
    """Return True if PostgreSQL or its driver refused a value of the user."""
    sqlstate, message = getattr(error, "sqlstate", None), getattr(error, "message", None)
    if sqlstate == "22000":
        return message is None
    return (sqlstate, message) == _NO_JSON


def _explain_database_error(error: BaseException) -> str:
    """Return what PostgreSQL refused and why, from the driver's error."""
    message, constraint, detail, hint = (
        getattr(error, name, None) for name in ("message", "constraint_name", "detail", "hint")
    )
    sqlstate = getattr(error, "sqlstate", None)
    if message is None:  # the driver raised it before sending anything
        unsent = sqlstate == "22000"
        return "A value cannot be sent to the database. Is it UTF-8 text?" if unsent else str(error)
    if sqlstate in _NO_SCHEMA:
        return "The database lacks what this version needs. Run dispatcher migrate."
    # The names of constraints are sentences, so that every application sees one.
    if constraint and " " in constraint:
        return str(constraint)
    if sqlstate == "42501":
        return f"{message}{_how_to_grant(message)}"
    if (sqlstate, message) == _NO_JSON:
        return f"The data is not JSON: {detail}"
    return f"{message} ({hint})" if hint else str(message)


def _how_to_grant(message: str) -> str:
    """Return how to grant the missing right that PostgreSQL reports, "" if it is not known."""
    if database := re.fullmatch(r"permission denied for database (.+)", message):
        return (
            f". dispatcher migrate creates a schema. Let the owner of the database run it, or GRANT"
            f" CREATE ON DATABASE {database[1]} to the role of database.dsn."
        )
    if re.match(r"permission denied for (schema|table|function) ", message):
        return (
            ". database.dsn must name the role that ran dispatcher migrate, or a role that is a"
            " member of it (GRANT one TO the other)."
        )
    return ""
