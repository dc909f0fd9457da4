"""`dispatcher seed`: a whole catalogue of event types put into the database itself."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from dispatcher.catalogue import Change
    from dispatcher.cli.database import Database
    from dispatcher.config import Config
    from dispatcher.forms.event_types import EventTypeEntry


@click.command()
@click.argument("source", metavar="NAME|FILE")
@click.option("--environment", default="env_default", metavar="ID", help="Whose catalogue it is.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@click.pass_obj
def seed(config_file: Path | None, source: str, environment: str, as_json: bool) -> None:
    """Describe event types: those of a catalogue that comes with the program, such as paylent, or
    of a TOML or JSON file.

    All of them or none; what the environment's catalogue has besides stays. Doing it again changes
    nothing.
    """
    import asyncio

    from dispatcher.cli import database
    from dispatcher.config import load

    config = load(config_file)
    entries = _entries(source)
    with database.visiting(config) as visited:
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
    from dispatcher import catalogues
    from dispatcher.cli.failures import Misuse

    if source in catalogues.shipped():
        return catalogues.open_shipped(source)
    file = Path(source)
    if not file.suffix and not file.exists():
        names = ", ".join(catalogues.shipped())
        raise Misuse(f"{source} is no file, and no catalogue that comes with the program: {names}")
    return catalogues.parsed(file.read_bytes(), toml=file.suffix != ".json")


async def _load(
    visited: "Database", config: "Config", environment: str, entries: Sequence["EventTypeEntry"]
) -> Mapping[str, "Change"]:
    from dispatcher.cli import database
    from dispatcher.office import Office

    await database.look(visited, config)
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
