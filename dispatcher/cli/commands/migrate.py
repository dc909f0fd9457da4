"""`dispatcher migrate`: bring the database to this version's schema."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from dispatcher.cli.database import Database
    from dispatcher.config.sections import Config
    from dispatcher.store.queries.settings import SettingChange


@click.command()
@click.option("--plan", is_flag=True, help="Print what would be applied, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def migrate(config_file: Path | None, plan: bool, as_json: bool) -> None:
    """Apply missing migrations, and write the configured limits into the database.

    The role needs the right to create a schema, and the right to create roles unless the role
    dispatcher_producer exists.
    """
    import asyncio

    from dispatcher.cli import database
    from dispatcher.config.loading import load

    config = load(config_file)
    target_database, config = database.find(config)
    files, changes = asyncio.run(_migrate(target_database, config, plan=plan))
    for change in changes:
        click.echo(_in_words(change), err=True)
    if as_json:
        click.echo(json.dumps({"pending" if plan else "applied": files}))
        return
    for file in files:
        click.echo(f"{'would apply' if plan else 'applied'} {file}")
    if not files:
        click.echo("The schema is up to date.")


def _in_words(change: "SettingChange") -> str:
    kind, unit = ("limit", " bytes") if change.key == "delivery.max_data" else ("setting", "")
    former, new = json.dumps(change.former), json.dumps(change.new)
    return f"The database's {kind} {change.key} was changed from {former} to {new}{unit}."


async def _migrate(
    target_database: "Database", config: "Config", *, plan: bool
) -> "tuple[list[str], list[SettingChange]]":
    """Migrate the database and write the limits. With `plan`, change nothing.

    Return the missing migrations, and the settings that had another value in the database.
    """
    from dispatcher.cli import database
    from dispatcher.store.migration import migrate as migrations

    async with migrations.open_connection(target_database.dsn) as connection:
        files = [file.file for file in await migrations.migrate(connection, plan=plan)]
    if plan:
        return files, []
    return files, await database.write_limits(target_database, config)
