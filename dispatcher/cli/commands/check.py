"""`dispatcher check`: find out whether `dispatcher run` would start, and change nothing."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from dispatcher.cli.errors import CommandError, explain
from dispatcher.cli.output.tables import mark

if TYPE_CHECKING:
    from dispatcher.config.sections import Config

ANSWER_LIMIT_SECONDS = 2.0
"""The longest wait for an answer of the process that holds the admin port."""

NOT_CHECKED = (
    "the embedded PostgreSQL is not running, so what needs it was not checked: whether the key is"
    " the one of its secrets, the migrations and the triggers. dispatcher run checks the key and"
    " migrates when it starts."
)
"""The warning if there is an embedded database that does not answer, because it is stopped."""

PROXY_LIMIT_SECONDS = 5.0
"""The longest wait for a connection to the proxy."""


@dataclass(slots=True)
class Findings:
    """The results of the checks: notes and warnings, a line each, and problems."""

    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    problems: list[CommandError] = field(default_factory=list)
    has_daemon: bool | None = None
    """Whether a daemon of the database has the admin port; None if the database does not tell."""

    @contextmanager
    def recording(self) -> Iterator[Callable[[str | None], None]]:
        """Record the result of one check: the note it passes on, or the exception it raises.

        Raise exceptions that no command explains, because they are programming errors.
        """
        from dispatcher.cli.checks.database_checks import CheckWarningError

        try:
            yield lambda note: self.notes.append(note) if note else None
        except CheckWarningError as warning:
            self.warnings += map(str, warning.args)
        except Exception as error:
            failure = error if isinstance(error, CommandError) else explain(error)
            if failure is None:
                raise
            self.problems.append(failure)

    def show(self) -> None:
        """Print the results, with warnings and problems on standard error."""
        for note in self.notes:
            click.echo(f"{mark(True)} {note}")
        for warning in self.warnings:
            click.echo(f"{click.style('warning:', fg='yellow')} {warning}", err=True)
        for line in self._lines():
            click.echo(f"{mark(False)} {line}", err=True)

    def _lines(self) -> list[str]:
        return [line for problem in self.problems for line in problem.message.splitlines()]

    def as_json(self) -> str:
        """Return the results as a JSON document."""
        return json.dumps(
            {
                "ok": not self.problems,
                "problems": self._lines(),
                "warnings": self.warnings,
                "notes": self.notes,
            }
        )


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def check(context: click.Context, as_json: bool) -> None:
    """Check configuration, database and port without starting anything.

    Nothing is changed. An embedded database is checked only while its daemon runs. Exit with 2 if
    the configuration is not usable, and with 1 for any other problem.
    """
    from dispatcher.config.loading import default_file, load

    config = load(context.obj)
    findings = Findings()
    if file := context.obj or default_file():
        findings.notes.append(f"configuration: {file.absolute()}")
    with findings.recording():
        _database(config, findings)
    with findings.recording() as note:
        note(_port(config, findings.has_daemon))
    with findings.recording() as note:
        note(_proxy(config))
    if as_json:
        click.echo(findings.as_json())
    else:
        findings.show()
    context.exit(max((problem.exit_code for problem in findings.problems), default=0))


def _database(config: "Config", findings: Findings) -> None:
    """Check the configured database, or the embedded one if it runs."""
    import asyncio

    from dispatcher.cli.database import embedded_directory
    from dispatcher.embedded_postgres.binaries import find
    from dispatcher.embedded_postgres.data_directory import data_of, refuse_other_majors
    from dispatcher.embedded_postgres.server import running
    from dispatcher.encryption import keyring

    if config.database.dsn:
        asyncio.run(_ask_database(config, config.database.dsn.get_secret_value(), findings))
        return
    directory = embedded_directory(config)
    if dsn := running(directory):
        findings.notes.append(f"database: embedded, running in {directory}")
        asyncio.run(_ask_database(config, dsn, findings))
        return
    findings.has_daemon = False
    with findings.recording():
        keyring.read(config)
    binaries = find(config.database.binaries)
    refuse_other_majors(directory.resolve(), binaries)
    findings.notes.append(
        f"database: none is configured, so dispatcher run starts PostgreSQL {binaries.version} in"
        f" {directory}"
    )
    if data_of(directory, binaries).exists():
        findings.warnings.append(NOT_CHECKED)


async def _ask_database(config: "Config", dsn: str, findings: Findings) -> None:
    """Run the checks of a database, and those of its schema if the others found no problem."""
    from dispatcher.cli.checks import database_checks
    from dispatcher.cli.database import Database, session

    async with session(Database(dsn, ours=False), config) as opened:
        inspection = await database_checks.inspect(config, dsn, opened)
        for run_check in database_checks.CHECKS:
            with findings.recording() as note:
                note(await run_check(inspection))
        with Findings().recording():  # what could fail here was reported by a check above
            findings.has_daemon = await database_checks.has_daemon_here(inspection)
        if findings.problems or not inspection.facts.owns_schema:
            return
        for run_check in database_checks.CHECKS_OF_THE_SCHEMA:
            with findings.recording() as note:
                note(await run_check(inspection))


def _port(config: "Config", has_daemon: bool | None) -> str:
    """Return a note if the port is free or a daemon of this database has it.

    Raise CommandError if another daemon or program has it.
    """
    from dispatcher.cli.checks import port_check

    host, port = config.admin.host, config.admin.port
    if not port_check.why_unavailable(host, port):
        return f"admin port: {host} port {port} is free"
    if _is_a_daemon(host, port):
        if has_daemon:
            return f"admin port: a daemon of this database answers on {host} port {port}"
        owner = "A daemon" if has_daemon is None else "A daemon of another database"
        raise CommandError(
            f"{owner} answers on {host} port {port}, so dispatcher run cannot start. Stop it, or"
            " set another admin.port."
        )
    port_check.require_free(host, port, may_be_daemon=False)
    return f"admin port: {host} port {port} is free"


def _proxy(config: "Config") -> str | None:
    """Return a note if the configured proxy takes connections, None if there is no proxy."""
    import socket

    from dispatcher.transport.connecting.proxy_from_config import proxy_from_config

    proxy = proxy_from_config(config)
    if proxy is None:
        return None
    try:
        socket.create_connection((proxy.host, proxy.port), PROXY_LIMIT_SECONDS).close()
    except OSError as error:
        raise CommandError(
            f"egress.proxy: no connection to {proxy.host} port {proxy.port}: "
            f"{error.strerror or 'no answer'}"
        ) from None
    return f"proxy: {proxy.host} port {proxy.port} takes connections"


def _is_a_daemon(host: str, port: int) -> bool:
    """Return True if a daemon answers on the admin port."""
    from http.client import HTTPConnection, HTTPException

    connection = HTTPConnection(host, port, timeout=ANSWER_LIMIT_SECONDS)
    try:
        connection.request("GET", "/livez")
        return b"alive" in connection.getresponse().read(1024)
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
