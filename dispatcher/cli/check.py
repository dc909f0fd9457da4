"""`dispatcher check`: would `dispatcher run` start here? Starts and changes nothing."""

import json
from typing import TYPE_CHECKING

import click

from dispatcher.cli.failures import Failure, explain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dispatcher.config import Config
    from dispatcher.store.session import Session

PATIENCE = 2.0


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@click.pass_context
def check(context: click.Context, as_json: bool) -> None:
    """Say what would keep `dispatcher run` from working; start and change nothing.

    Exits with 2 for a configuration that can not be used, with 1 for anything else.
    """
    from dispatcher.config import load

    config = load(context.obj)
    notes: list[str] = []
    problems: list[Failure] = []
    for look in (_database, _port):
        try:
            notes.append(look(config))
        except Failure as failure:
            problems.append(failure)
        except Exception as error:
            explained = explain(error)
            if explained is None:
                raise
            problems.append(explained)
    if as_json:
        click.echo(
            json.dumps(
                {"ok": not problems, "problems": [p.message for p in problems], "notes": notes}
            )
        )
    else:
        for note in notes:
            click.echo(note)
        for problem in problems:
            problem.show()
    context.exit(max((problem.exit_code for problem in problems), default=0))


def _database(config: "Config") -> str:
    import asyncio

    from dispatcher.cli.database import embedded_directory
    from dispatcher.postgres import running
    from dispatcher.postgres_binaries import find

    if config.database.dsn:
        warnings = asyncio.run(_schema_and_key(config, config.database.dsn.get_secret_value()))
        return _noted("database: reachable, its schema and key are the right ones", warnings)
    directory = embedded_directory(config)
    if dsn := running(directory):
        warnings = asyncio.run(_schema_and_key(config, dsn))
        return _noted(f"database: embedded, running in {directory}", warnings)
    version = find(config.database.binaries).version
    return f"database: none is configured; run starts PostgreSQL {version} in {directory}"


def _noted(note: str, warnings: "Sequence[str]") -> str:
    return "\n".join([note, *(f"warning: {warning}" for warning in warnings)])


async def _schema_and_key(config: "Config", dsn: str) -> "Sequence[str]":
    """Return warnings."""
    from dispatcher import migrate
    from dispatcher.cli import event_checks
    from dispatcher.cli.database import Database, session

    async with migrate.connected(dsn) as connection:
        await migrate.check(connection)
    async with session(Database(dsn, ours=False), config) as opened:
        await _key(config, opened)
        return await event_checks.warnings(config, opened)


async def _key(config: "Config", session: "Session") -> None:
    from dispatcher.crypto import Cipher, read_key
    from dispatcher.keyring import KeyRefused
    from dispatcher.store.settings import Settings

    key, stored = read_key(config), (await Settings(session).read()).key_check
    if stored is None:
        return
    if key is None:
        raise KeyRefused("the database's secrets are encrypted with a key that is not configured")
    if not Cipher(key).matches(stored):
        raise KeyRefused("the database's secrets are encrypted with another key than secrets.key")


def _port(config: "Config") -> str:
    from dispatcher.cli import ports

    host, port = config.admin.host, config.admin.port
    if not ports.refusal(host, port):
        return f"admin port: {host} port {port} is free"
    if _is_ours(host, port):
        return f"admin port: a daemon answers on {host} port {port} already"
    ports.demand(host, port)
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
