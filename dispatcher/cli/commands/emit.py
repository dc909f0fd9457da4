"""`dispatcher emit`: emit one event, as an application would."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dispatcher.cli.target import Target, call_api, with_target
from dispatcher.core.environment_ids import DEFAULT_ENVIRONMENT

if TYPE_CHECKING:
    from dispatcher.cli.database import Database
    from dispatcher.config.sections import Config


class Data(click.ParamType[str]):
    """A text, or the content of a file or of standard input, with every byte unchanged."""

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
        return value.encode(errors="surrogateescape")  # restore the bytes of the argument


@click.command()
@click.argument("type_", metavar="TYPE")
@click.option("--data", type=Data(), default="{}", help="The data of the event. Default: {}.")
@click.option(
    "--idempotency-key", metavar="KEY", help="Emit nothing if an earlier event has this key."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@with_target
def emit(target: Target, type_: str, data: str, idempotency_key: str | None, as_json: bool) -> None:
    """Emit an event of TYPE, such as user.created, and print its id.

    The data is sent byte for byte. On a database, the role dispatcher_producer is enough.
    """
    import asyncio

    from dispatcher.cli import database
    from dispatcher.config.loading import load

    if target.url is not None:
        answer = _over_the_api(target, type_, data, idempotency_key)
    else:
        target_database, config = database.find(load(target.config_file))
        environment = target.environment or DEFAULT_ENVIRONMENT
        name = asyncio.run(
            _emit(target_database, config, type_, data, environment, idempotency_key)
        )
        answer = {"id": name, "type": type_, "environmentId": environment}
    click.echo(json.dumps(answer) if as_json else answer["id"])


def _over_the_api(target: Target, type_: str, data: str, key: str | None) -> dict[str, str]:
    from dispatcher.client.resources import JsonText

    try:
        emitted = call_api(
            target, lambda c: c.events.emit(type_, JsonText(data), idempotency_key=key)
        )
    except ValueError as error:
        raise click.UsageError(f"The data is not JSON: {error}") from None
    return {"id": emitted.id, "type": type_, "environmentId": emitted.environment_id}


async def _emit(
    target_database: "Database",
    config: "Config",
    type_: str,
    data: str,
    environment: str,
    idempotency_key: str | None,
) -> str:
    from dispatcher.cli import database
    from dispatcher.store.events import Events

    if target_database.is_embedded:  # a producer of another database may not read its migrations
        await database.check_schema(target_database)
    async with database.session(target_database, config) as session:
        return await Events(session).emit(
            type_, data, environment_id=environment, idempotency_key=idempotency_key
        )
