"""`dispatcher key`: change the key that encrypts secrets in the database."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from dispatcher.config.sections import Config
    from dispatcher.services.key_rotation import Rotation


@click.group()
def key() -> None:
    """Change the key that encrypts signing secrets, headers and credentials."""


@key.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def rotate(config_file: Path | None, as_json: bool) -> None:
    """Encrypt all secrets with secrets.key that secrets.second_key still decrypts.

    Daemons go on sending. First configure both keys for each daemon and restart it: see
    docs/installing.md. It may be run again at any time.
    """
    import asyncio

    from dispatcher.config.loading import load

    done = asyncio.run(_rotate(load(config_file)))
    if as_json:
        unreadable = [str(id_) for id_ in done.unreadable]
        click.echo(
            json.dumps({"webhooks": done.webhooks, "values": done.values, "unreadable": unreadable})
        )
        return
    click.echo(f"{done.values} values encrypted again, {done.webhooks} webhooks checked.")
    for id_ in done.unreadable:
        click.echo(
            f"Webhook {id_} has a value that neither key decrypts: it was left as it is. Rotate its"
            " secret, and set its headers and credentials again.",
            err=True,
        )
    click.echo(
        "Once every daemon has the new key as secrets.key, remove secrets.second_key.", err=True
    )


async def _rotate(config: "Config") -> "Rotation":
    from dispatcher.cli import database
    from dispatcher.cli.errors import MisuseError
    from dispatcher.encryption.cipher import read_second_key
    from dispatcher.services.key_rotation import KeyRotation

    target_database, config = database.find(config)
    if read_second_key(config) is None:
        raise MisuseError(
            "There is no second key. Configure the new key as secrets.key, and the one until now as"
            " secrets.second_key or secrets.second_key_file."
        )
    await database.check_schema(target_database)
    cipher = await database.open_cipher(target_database, config)
    async with database.session(target_database, config) as session:
        return await KeyRotation(session, database.actor(), cipher).run()
