"""`dispatcher seed`: add or update a whole catalogue of event types."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dispatcher.cli.target import Target, call_api, environment_of, with_target
from dispatcher.core.environment_ids import DEFAULT_ENVIRONMENT

if TYPE_CHECKING:
    from dispatcher.cli.database import Database
    from dispatcher.client import Resource
    from dispatcher.client.methods import AsyncApi
    from dispatcher.config.sections import Config
    from dispatcher.services.event_types.event_type_writer import Change
    from dispatcher.services.inputs.event_type_inputs import EventTypeEntry


@click.command()
@click.argument("source", metavar="NAME|FILE")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@with_target
def seed(target: Target, source: str, as_json: bool) -> None:
    """Add or update event types from a shipped catalogue, such as paylent, or from a file.

    The file is TOML or JSON. Other event types of the environment stay, and running the command
    again changes nothing. On a database, either all types are written or none. Over the API, they
    are written one by one, in order.
    """
    import asyncio

    from dispatcher.cli import database
    from dispatcher.config.loading import load

    entries = _entries(source)
    if target.url is not None:
        environment, changes = call_api(target, lambda client: _put(client, entries))
    else:
        environment = DEFAULT_ENVIRONMENT if target.environment is None else target.environment
        target_database, config = database.find(load(target.config_file))
        changes = asyncio.run(_load(target_database, config, environment, entries))
    if as_json:
        click.echo(json.dumps({"environmentId": environment, **_by_change(changes)}))
        return
    for change, names in _by_change(changes).items():
        if change == "unchanged":
            click.echo(f"{len(names)} unchanged")
        for name in names if change != "unchanged" else ():
            click.echo(f"{change:<9} {name}")


def _entries(source: str) -> Sequence["EventTypeEntry"]:
    """Return the event types of a shipped catalogue or of a file. Raise MisuseError for neither."""
    from dispatcher.cli.errors import MisuseError
    from dispatcher.services import shipped_catalogs

    if source in shipped_catalogs.shipped():
        return shipped_catalogs.open_shipped(source)
    file = Path(source)
    if not file.suffix and not file.exists():
        names = ", ".join(shipped_catalogs.shipped())
        raise MisuseError(
            f"{source} is neither a file nor one of the shipped catalogues ({names})."
        )
    return shipped_catalogs.parsed(file.read_bytes(), toml=file.suffix != ".json")


async def _put(
    client: "AsyncApi", entries: Sequence["EventTypeEntry"]
) -> tuple[str, Mapping[str, "Change"]]:
    """Write the event types over the API. Return the environment, and the change to each."""
    from dispatcher.client import NotFoundError

    environment = await environment_of(client)
    changes: dict[str, Change] = {}
    for entry in entries:
        try:
            before: Resource | None = await client.event_types.get(entry.name)
        except NotFoundError:
            before = None
        after = await client.event_types.put(entry.name, **_fields(entry))
        if before is None:
            changes[entry.name] = "added"
        else:
            same = before.updated_at == after.updated_at
            changes[entry.name] = "unchanged" if same else "changed"
    return environment, changes


def _fields(entry: "EventTypeEntry") -> dict[str, Any]:
    """Return the fields that the file sets for a type, by their API names."""
    return entry.model_dump(by_alias=True, exclude_unset=True, exclude={"name"})


async def _load(
    target_database: "Database",
    config: "Config",
    environment: str,
    entries: Sequence["EventTypeEntry"],
) -> Mapping[str, "Change"]:
    """Write the event types into the database, all or none. Return the change to each."""
    from dispatcher.cli import database
    from dispatcher.services.services import Services, ServiceSettings

    await database.check_schema(target_database)
    settings = ServiceSettings.from_config(config, None)
    try:
        async with database.session(target_database, config) as session:
            services = Services(session, database.actor(), settings)
            return await services.event_type_writer.load(environment, entries)
    finally:
        await settings.close()


def _by_change(changes: Mapping[str, "Change"]) -> dict[str, list[str]]:
    """Return the names of the types by kind: added, changed or unchanged."""
    kinds: tuple[Change, ...] = ("added", "changed", "unchanged")
    return {kind: [name for name, change in changes.items() if change == kind] for kind in kinds}
