"""`dispatcher event-type`: the catalogue of event types, over the API or in the database."""

import json
from typing import TYPE_CHECKING, Any

import click

from dispatcher.cli.commands.emit import Data
from dispatcher.cli.json_input import read_json
from dispatcher.cli.output.listing import as_json_option, print_items
from dispatcher.cli.output.tables import Column
from dispatcher.cli.params import escape_controls
from dispatcher.cli.target import (
    Target,
    call_api,
    each_environment,
    environment_of,
    with_target,
)

if TYPE_CHECKING:
    from dispatcher.client import Resource
    from dispatcher.client.methods import AsyncApi

COLUMNS = (
    Column("NAME", lambda item: item.name),
    Column("SCHEMA", lambda item: _schema(item)),
    Column("DESCRIPTION", lambda item: item.description, shrinks=1),
)

_name = click.argument("name", metavar="NAME")


@click.group(name="event-type")
def event_type() -> None:
    """List and change the catalogue of event types. `dispatcher seed` loads a whole one."""


@event_type.command(name="list")
@as_json_option
@with_target
def list_(target: Target, as_json: bool) -> None:
    """List the event types by name. Without --environment, list those of every environment."""
    types = sorted(call_api(target, _list), key=lambda item: str(item.name))
    print_items(types, COLUMNS, as_json=as_json, empty="There are no event types.")


async def _list(client: "AsyncApi") -> list["Resource"]:
    """Return the event types. Each has its environment too, which the API leaves out."""
    from dispatcher.client import Resource

    types: list[Resource] = []
    async for api in each_environment(client):
        items = await api.event_types.list()
        environment = await environment_of(api) if items else None
        types += [Resource({**item, "environmentId": environment}) for item in items]
    return types


@event_type.command()
@_name
@as_json_option
@with_target
def get(target: Target, name: str, as_json: bool) -> None:
    """Show one event type."""
    _print(call_api(target, lambda client: client.event_types.get(name)), as_json)


@event_type.command()
@_name
@click.option("--description", metavar="TEXT", help="What it means, for people.")
@click.option("--example", type=Data(), help="The data of such an event, for example.")
@click.option("--schema", type=Data(), help="A JSON Schema for the data. null removes it.")
@click.option(
    "--enforce/--no-enforce",
    default=None,
    help="Whether to quarantine events that do not satisfy the schema.",
)
@as_json_option
@with_target
def put(
    target: Target,
    name: str,
    description: str | None,
    example: str | None,
    schema: str | None,
    enforce: bool | None,
    as_json: bool,
) -> None:
    """Create an event type, or change the given fields of one."""
    fields: dict[str, Any] = {"description": description, "enforce": enforce}
    fields = {key: value for key, value in fields.items() if value is not None}
    for option, text in (("example", example), ("schema", schema)):
        if text is not None:
            fields[option] = read_json(text, f"--{option}")
    _print(call_api(target, lambda client: client.event_types.put(name, **fields)), as_json)


@event_type.command()
@_name
@as_json_option
@with_target
def delete(target: Target, name: str, as_json: bool) -> None:
    """Remove an event type from the catalogue. Its events are still delivered."""
    call_api(target, lambda client: client.event_types.delete(name))
    click.echo(json.dumps({"name": name, "deleted": True}) if as_json else f"deleted {name}")


def _print(item: "Resource", as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(item))
        return
    click.echo(f"{item.name}  {_schema(item)}")
    for label in ("description", "example", "schema"):
        value = item.get(label)
        if value not in (None, ""):
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            click.echo(escape_controls(f"  {label:<11}  {text}"))


def _schema(item: "Resource") -> str:
    if item.schema is None:
        return "no schema"
    return "enforced" if item.enforce else "has a schema"
