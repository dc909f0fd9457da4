"""`dispatcher migrate`: bring the database to this version's schema."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from dispatcher.cli.database import Database
    from dispatcher.config.sections import Config


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
    files, former = asyncio.run(_migrate(target_database, config, plan=plan))
    if former != (limit := config.delivery.max_data):
        text = f"The database's limit delivery.max_data was changed from {former} to {limit} bytes."
        click.echo(text, err=True)
    if as_json:
        click.echo(json.dumps({"pending" if plan else "applied": files}))
        return
    for file in files:
        click.echo(f"{'would apply' if plan else 'applied'} {file}")
    if not files:
        click.echo("The schema is up to date.")


async def _migrate(
    target_database: "Database", config: "Config", *, plan: bool
) -> tuple[list[str], int]:
    """Return the migrations, and the `delivery.max_data` that the database had before."""
    from dispatcher.cli import database
    from dispatcher.store.migration import migrate as migrations

    async with migrations.connected(target_database.dsn) as connection:
        files = [file.file for file in await migrations.migrate(connection, plan=plan)]
    if plan:
        return files, config.delivery.max_data
    return files, await database.write_limits(target_database, config)
