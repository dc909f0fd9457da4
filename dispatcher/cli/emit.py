"""`dispatcher emit`: one event, as an application would emit it."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from dispatcher.cli.database import Database
    from dispatcher.config import Config


class Data(click.ParamType[str]):
    """A text, or the file or standard input it is in: kept as it is, to the last byte."""

    name = "JSON|@FILE|-"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return self._bytes(value).decode()
        except OSError as error:
            self.fail(f"{value[1:]}: {error.strerror}", param, ctx)
        except UnicodeError:
            self.fail("the data is not UTF-8 text", param, ctx)

    def _bytes(self, value: str) -> bytes:
        if value == "-":
            return sys.stdin.buffer.read()
        if value.startswith("@"):
            return Path(value[1:]).read_bytes()
        return value.encode(errors="surrogateescape")  # as the argument came from the system


@click.command()
@click.argument("type_", metavar="TYPE")
@click.option("--data", type=Data(), default="{}", help="What it is about; {} by default.")
@click.option("--environment", default="env_default", metavar="ID", help="Whose event it is.")
@click.option("--idempotency-key", metavar="KEY", help="Emit nothing if this key was used before.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@click.pass_obj
def emit(
    config_file: Path | None,
    type_: str,
    data: str,
    environment: str,
    idempotency_key: str | None,
    as_json: bool,
) -> None:
    """Emit an event of TYPE, such as user.created, and print its name.

    The data is sent byte for byte. Needs only the role dispatcher_producer.
    """
    import asyncio

    from dispatcher.cli import database
    from dispatcher.config import load

    config = load(config_file)
    with database.visiting(config) as visited:
        name = asyncio.run(_emit(visited, config, type_, data, environment, idempotency_key))
    answer = {"id": name, "type": type_, "environmentId": environment}
    click.echo(json.dumps(answer) if as_json else name)


async def _emit(
    visited: "Database",
    config: "Config",
    type_: str,
    data: str,
    environment: str,
    idempotency_key: str | None,
) -> str:
    from dispatcher.cli import database
    from dispatcher.store.events import Events

    if visited.ours:  # whoever may only emit can not look at the schema
        await database.prepare(visited, config)
    async with database.session(visited, config) as session:
        return await Events(session).emit(
            type_, data, environment_id=environment, idempotency_key=idempotency_key
        )
