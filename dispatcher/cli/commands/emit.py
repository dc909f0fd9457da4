"""`dispatcher emit`: emit events, as an application would."""

import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import click

from dispatcher.cli import event_lines
from dispatcher.cli.errors import CommandError, MisuseError
from dispatcher.cli.target import Target, call_api, with_target
from dispatcher.core.environment_ids import DEFAULT_ENVIRONMENT
from dispatcher.core.payload import DATA_LIMIT_BYTES

if TYPE_CHECKING:
    from dispatcher.cli.database import Database
    from dispatcher.client.methods import AsyncApi
    from dispatcher.config.sections import Config


class Event(NamedTuple):
    """One event to emit. `data` is its exact JSON text."""

    type: str
    data: str
    key: str | None
    reference: str | None


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
@click.argument("type_", metavar="[TYPE]", required=False)
@click.option("--data", type=Data(), help="The data of the event. Default: {}.")
@click.option(
    "--idempotency-key", metavar="KEY", help="Emit nothing if an earlier event has this key."
)
@click.option(
    "--reference", metavar="TEXT", help="What the event is about, such as an order; searchable."
)
@click.option(
    "--ndjson",
    "file",
    type=click.File("rb"),
    metavar="FILE|-",
    help="Emit the events of a file or of standard input, one a line, instead of one of TYPE.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@with_target
def emit(
    target: Target,
    type_: str | None,
    data: str | None,
    idempotency_key: str | None,
    reference: str | None,
    file: BinaryIO | None,
    as_json: bool,
) -> None:
    """Emit an event of TYPE, such as user.created, and print its id.

    The data is sent byte for byte. On a database, the role dispatcher_producer is enough.

    With --ndjson, a line is such as {"type": "user.created", "data": {"id": 7}, "idempotencyKey":
    "user.created:7"}. Up to 1,000 events are emitted at a time, all or none.
    """
    if file is not None:
        if (type_, data, idempotency_key, reference) != (None, None, None, None):
            raise click.UsageError(
                "--ndjson has the fields of each event in its line. Leave out TYPE, --data,"
                " --idempotency-key and --reference."
            )
        _emit_lines(target, file, as_json)
        return
    if type_ is None:
        raise click.UsageError("Name the TYPE of the event, or a file of events with --ndjson.")
    event = Event(type_, "{}" if data is None else data, idempotency_key, reference)
    answer = _emit_one(target, event)
    click.echo(json.dumps(answer) if as_json else answer["id"])


# ── one event ────────────────────────────────────────────────────────────────────────────────────


def _emit_one(target: Target, event: Event) -> dict[str, str]:
    import asyncio

    from dispatcher.cli import database
    from dispatcher.config.loading import load

    if target.url is not None:
        return _over_the_api(target, event)
    target_database, config = database.find(load(target.config_file))
    environment = DEFAULT_ENVIRONMENT if target.environment is None else target.environment
    name = asyncio.run(_emit(target_database, config, event, environment))
    return {"id": name, "type": event.type, "environmentId": environment}


def _over_the_api(target: Target, event: Event) -> dict[str, str]:
    from dispatcher.client.resources import JsonText

    try:
        emitted = call_api(
            target,
            lambda client: client.events.emit(
                event.type,
                JsonText(event.data),
                idempotency_key=event.key,
                reference=event.reference,
            ),
        )
    except ValueError as error:
        raise click.UsageError(f"The data is not JSON: {error}") from None
    return {"id": emitted.id, "type": event.type, "environmentId": emitted.environment_id}


async def _emit(
    target_database: "Database", config: "Config", event: Event, environment: str
) -> str:
    from dispatcher.cli import database
    from dispatcher.store.queries.events import Events

    if target_database.is_embedded:  # a producer of another database may not read its migrations
        await database.check_schema(target_database)
    async with database.session(target_database, config) as session:
        return await Events(session).emit(
            event.type,
            event.data,
            environment_id=environment,
            idempotency_key=event.key,
            reference=event.reference,
        )


# ── many events ──────────────────────────────────────────────────────────────────────────────────


def _emit_lines(target: Target, file: BinaryIO, as_json: bool) -> None:
    """Emit the events of a file, and print the id of each as soon as its batch is committed."""
    import asyncio

    from dispatcher.cli import database
    from dispatcher.config.loading import load

    if target.url is not None:
        call_api(target, lambda client: _lines_over_the_api(client, file, as_json))
        return
    target_database, config = database.find(load(target.config_file))
    environment = DEFAULT_ENVIRONMENT if target.environment is None else target.environment
    asyncio.run(_lines_on_the_database(target_database, config, environment, file, as_json))


async def _lines_over_the_api(client: "AsyncApi", file: BinaryIO, as_json: bool) -> None:
    from dispatcher.client import InvalidError
    from dispatcher.client.resources import JsonText

    async def emit_batch(batch: event_lines.Batch) -> Sequence[str]:
        events = [
            {
                "type": row.type,
                "data": JsonText(row.data),
                "idempotency_key": row.key,
                "reference": row.reference,
            }
            for row in batch.events
        ]
        try:
            return [event.id for event in await client.events.emit_many(events)]
        except InvalidError as error:
            message = event_lines.explain(error.details, batch.lines, error.message)
            raise MisuseError(message) from None

    await _each_batch(file, emit_batch, as_json)


async def _lines_on_the_database(
    target_database: "Database", config: "Config", environment: str, file: BinaryIO, as_json: bool
) -> None:
    from dispatcher.cli import database
    from dispatcher.store.queries.events import (
        EventRejectedError,
        Events,
        UnknownEnvironmentError,
    )

    if target_database.is_embedded:  # a producer of another database may not read its migrations
        await database.check_schema(target_database)
    async with database.session(target_database, config) as session:

        async def emit_batch(batch: event_lines.Batch) -> Sequence[str]:
            try:
                return await Events(session).emit_each(environment, batch.events)
            except EventRejectedError as error:
                kind = CommandError if isinstance(error, UnknownEnvironmentError) else MisuseError
                raise kind(f"{batch.place}: {error}") from None

        await _each_batch(file, emit_batch, as_json)


async def _each_batch(
    file: BinaryIO,
    emit_batch: Callable[[event_lines.Batch], Awaitable[Sequence[str]]],
    as_json: bool,
) -> None:
    """Emit one batch after another, and print the ids. After an error, say what was emitted."""
    last_line = 0
    batch: event_lines.Batch | None = None
    try:
        for batch in event_lines.batches(file, most_data=DATA_LIMIT_BYTES):
            for row, id_ in zip(batch.events, await emit_batch(batch), strict=True):
                click.echo(json.dumps({"id": id_, "type": row.type}) if as_json else id_)
            last_line = batch.lines[-1]
    except Exception as error:
        if last_line:
            click.echo(f"Lines 1 to {last_line} were emitted.", err=True)
        if batch is not None and _is_unknown(error):
            click.echo(
                f"It is not known whether {batch.place} were emitted. They can be emitted again"
                " if each event has an idempotencyKey.",
                err=True,
            )
        raise


def _is_unknown(error: Exception) -> bool:
    """Return True if the events of a request with this error may have been emitted."""
    from dispatcher.client import ConnectionFailedError, UnavailableError
    from dispatcher.store.errors import StoreUnavailableError

    if isinstance(error, ConnectionFailedError):
        return error.sent
    # With other errors of the store, nothing was written.
    return isinstance(error, UnavailableError | StoreUnavailableError)
