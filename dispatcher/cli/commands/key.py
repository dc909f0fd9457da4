"""`dispatcher key`: change the key that encrypts secrets in the database."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from dispatcher.config.sections import Config
    from dispatcher.services.key_rotation import Rotation, Unreadable


@click.group()
def key() -> None:
    """Change the key that encrypts signing secrets, headers and credentials."""


@key.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def rotate(config_file: Path | None, as_json: bool) -> None:
    """Encrypt with secrets.key all secrets that secrets.second_key still decrypts.

    Daemons go on sending. First configure both keys for each daemon and restart it: see
    docs/installing.md. It may be run again at any time. It fails if a webhook has values that
    neither key decrypts, and names them.
    """
    import asyncio

    from dispatcher.cli.errors import CommandError
    from dispatcher.config.loading import load

    done = asyncio.run(_rotate(load(config_file)))
    if as_json:
        unreadable = [str(id_) for id_ in done.unreadable]
        click.echo(
            json.dumps({"webhooks": done.webhooks, "values": done.values, "unreadable": unreadable})
        )
    else:
        click.echo(f"{done.values} values encrypted again, {done.webhooks} webhooks checked.")
    if done.unreadable:
        raise CommandError(_what_to_do(done.unreadable))
    if as_json:
        return
    click.echo(
        "Once every daemon has the new key as secrets.key, remove secrets.second_key.", err=True
    )


def _what_to_do(unreadable: "Unreadable") -> str:
    """Name the values that neither key decrypts, and what to do about them."""
    lines = [f"Webhook {id_}: {', '.join(names)}" for id_, names in unreadable.items()]
    return "\n".join(
        (
            "Neither key decrypts these values, which were left as they are:",
            *lines,
            "If there is a key from before, configure it as secrets.second_key, and run this again."
            " Otherwise replace them: a signing secret by `dispatcher webhook rotate ID`, the"
            " others by `dispatcher webhook update ID`. Then run this again.",
        )
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
