"""`dispatcher check`: would `dispatcher run` start here? Starts and changes nothing."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from dispatcher.cli.errors import Failure, explain

if TYPE_CHECKING:
    from dispatcher.config.sections import Config

PATIENCE = 2.0


@dataclass(slots=True)
class Findings:
    """What the checks found: a line each."""

    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    problems: list[Failure] = field(default_factory=list)

    @contextmanager
    def noting(self) -> Iterator[Callable[[str | None], None]]:
        """Take the note of one check, or what it raises. Raises what no command explains."""
        from dispatcher.cli.database_checks import Doubt

        try:
            yield lambda note: self.notes.append(note) if note else None
        except Doubt as doubt:
            self.warnings += map(str, doubt.args)
        except Exception as error:
            failure = error if isinstance(error, Failure) else explain(error)
            if failure is None:
                raise
            self.problems.append(failure)

    def show(self) -> None:
        for note in self.notes:
            click.echo(note)
        for warning in self.warnings:
            click.echo(f"warning: {warning}", err=True)
        for problem in self.problems:
            problem.show()

    def as_json(self) -> str:
        return json.dumps(
            {
                "ok": not self.problems,
                "problems": [problem.message for problem in self.problems],
                "warnings": self.warnings,
                "notes": self.notes,
            }
        )


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@click.pass_context
def check(context: click.Context, as_json: bool) -> None:
    """Check configuration, database and port without starting or changing anything.

    Exits with 2 for a configuration that cannot be used, with 1 for anything else.
    """
    from dispatcher.config.loading import load

    config = load(context.obj)
    findings = Findings()
    with findings.noting():
        _database(config, findings)
    with findings.noting() as note:
        note(_port(config))
    if as_json:
        click.echo(findings.as_json())
    else:
        findings.show()
    context.exit(max((problem.exit_code for problem in findings.problems), default=0))


def _database(config: "Config", findings: Findings) -> None:
    import asyncio

    from dispatcher.cli.database import embedded_directory
    from dispatcher.embedded_postgres.binaries import find
    from dispatcher.embedded_postgres.server import running

    if config.database.dsn:
        asyncio.run(_ask_database(config, config.database.dsn.get_secret_value(), findings))
        return
    directory = embedded_directory(config)
    if dsn := running(directory):
        findings.notes.append(f"database: embedded, running in {directory}")
        asyncio.run(_ask_database(config, dsn, findings))
        return
    version = find(config.database.binaries).version
    findings.notes.append(
        f"database: none is configured; run starts PostgreSQL {version} in {directory}"
    )


async def _ask_database(config: "Config", dsn: str, findings: Findings) -> None:
    from dispatcher.cli import database_checks
    from dispatcher.cli.database import Database, session

    async with session(Database(dsn, ours=False), config) as opened:
        asked = await database_checks.ask(config, dsn, opened)
        for one in database_checks.CHECKS:
            with findings.noting() as note:
                note(await one(asked))
        if findings.problems or not asked.facts.owns_schema:
            return
        for one in database_checks.CHECKS_OF_THE_SCHEMA:
            with findings.noting() as note:
                note(await one(asked))


def _port(config: "Config") -> str:
    from dispatcher.cli import port_check

    host, port = config.admin.host, config.admin.port
    if not port_check.refusal(host, port):
        return f"admin port: {host} port {port} is free"
    if _is_ours(host, port):
        return f"admin port: a daemon answers on {host} port {port} already"
    port_check.demand(host, port)
    return "admin port: free by now"


def _is_ours(host: str, port: int) -> bool:
    from http.client import HTTPConnection, HTTPException

    connection = HTTPConnection(host, port, timeout=PATIENCE)
    try:
        connection.request("GET", "/livez")
        return b"alive" in connection.getresponse().read(1024)
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
