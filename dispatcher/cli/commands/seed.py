"""`dispatcher seed`: a whole catalogue of event types put into the database itself."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dispatcher.cli.target import Place, ask, placed

if TYPE_CHECKING:
    from dispatcher.cli.database import Database
    from dispatcher.client import Resource
    from dispatcher.client.methods import AwaitingGroups
    from dispatcher.config.sections import Config
    from dispatcher.services.event_types import Change
    from dispatcher.services.inputs.event_types import EventTypeEntry


@click.command()
@click.argument("source", metavar="NAME|FILE")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@placed
def seed(place: Place, source: str, as_json: bool) -> None:
    """Describe event types: those of a catalogue that comes with the program, such as paylent, or
    of a TOML or JSON file.

    What the environment's catalogue has besides stays, and doing it again changes nothing. On a
    database it is all of them or none; over the API each is put by itself, in order.
    """
    import asyncio

    from dispatcher.cli import database
    from dispatcher.config.loading import load

    entries = _entries(source)
    environment = place.environment or "env_default"
    if place.url is not None:
        changes = ask(place, lambda client: _put(client, entries))
    else:
        visited, config = database.find(load(place.config_file))
        changes = asyncio.run(_load(visited, config, environment, entries))
    if as_json:
        click.echo(json.dumps({"environmentId": environment, **_sorted(changes)}))
        return
    for change, names in _sorted(changes).items():
        if change == "unchanged":
            click.echo(f"{len(names)} unchanged")
        for name in names if change != "unchanged" else ():
            click.echo(f"{change:<9} {name}")


def _entries(source: str) -> Sequence["EventTypeEntry"]:
    from dispatcher.cli.errors import Misuse
    from dispatcher.services import shipped_catalogs

    if source in shipped_catalogs.shipped():
        return shipped_catalogs.open_shipped(source)
    file = Path(source)
    if not file.suffix and not file.exists():
        names = ", ".join(shipped_catalogs.shipped())
        raise Misuse(f"{source} is no file, and no catalogue that comes with the program: {names}")
    return shipped_catalogs.parsed(file.read_bytes(), toml=file.suffix != ".json")


async def _put(
    client: "AwaitingGroups", entries: Sequence["EventTypeEntry"]
) -> Mapping[str, "Change"]:
    from dispatcher.client import NotFound

    changes: dict[str, Change] = {}
    for entry in entries:
        try:
            before: Resource | None = await client.event_types.get(entry.name)
        except NotFound:
            before = None
        after = await client.event_types.put(entry.name, **_fields(entry))
        if before is None:
            changes[entry.name] = "added"
        else:
            same = before.updated_at == after.updated_at
            changes[entry.name] = "unchanged" if same else "changed"
    return changes


def _fields(entry: "EventTypeEntry") -> dict[str, Any]:
    """Return what the file says of a type, as the API names it."""
    return entry.model_dump(by_alias=True, exclude_unset=True, exclude={"name"})


async def _load(
    visited: "Database", config: "Config", environment: str, entries: Sequence["EventTypeEntry"]
) -> Mapping[str, "Change"]:
    from dispatcher.cli import database
    from dispatcher.services.services import Office

    await database.look(visited)
    office = Office(config, None)
    try:
        async with database.session(visited, config) as session:
            writer = office.catalogue_writer(session, database.actor())
            return await writer.load(environment, entries)
    finally:
        await office.checks.close()


def _sorted(changes: Mapping[str, "Change"]) -> dict[str, list[str]]:
    """Which types were added, which changed, which not."""
    kinds: tuple[Change, ...] = ("added", "changed", "unchanged")
    return {kind: [name for name, change in changes.items() if change == kind] for kind in kinds}
