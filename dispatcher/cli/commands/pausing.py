"""`dispatcher pause` and `dispatcher resume`; and what `check` says of pauses."""

import json
from typing import TYPE_CHECKING

import click

from dispatcher.cli.target import Place, ask, placed

if TYPE_CHECKING:
    from dispatcher.client import Resource
    from dispatcher.config.sections import Config
    from dispatcher.store.session import Session

_all = click.option("--all", "of_all", is_flag=True, help="All environments.")
_as_json = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")


@click.command()
@_all
@_as_json
@placed
def pause(place: Place, of_all: bool, as_json: bool) -> None:
    """Send nothing more, for one environment or for all of them, until it is resumed.

    What is emitted while sending is paused is delivered afterwards.
    """
    _check(place, of_all)
    _say(ask(place, lambda client: client.pauses.pause(all=of_all)), as_json)


@click.command()
@_all
@_as_json
@placed
def resume(place: Place, of_all: bool, as_json: bool) -> None:
    """Send again, for one environment or for all of them."""
    _check(place, of_all)
    _say(ask(place, lambda client: client.pauses.resume(all=of_all)), as_json)


def _check(place: Place, of_all: bool) -> None:
    if of_all and place.environment is not None:
        raise click.UsageError("give --environment or --all, not both")


def _say(found: "Resource", as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(found))
        return
    of = f"environment {found.environment_id}" if found.environment_id else "all environments"
    if found.paused_at:
        click.echo(f"{of}: paused since {found.paused_at}")
    elif found.all_paused_at:
        click.echo(
            f"{of}: not paused itself, but all environments are, since {found.all_paused_at}: "
            "nothing is sent until `dispatcher resume --all`"
        )
    else:
        click.echo(f"{of}: sending")


async def warnings(config: "Config", session: "Session") -> list[str]:
    """Return a sentence for each pause in force, and for what `delivery.paused` will do."""
    from dispatcher.cli.database import actor
    from dispatcher.services.pauses import Pauses

    async with session.transaction() as opened:
        pauses = Pauses(opened, actor())
        found = await pauses.current()
        applies = config.delivery.paused and not await pauses.was_configured()
    said = [
        f"sending is paused for {each.environment_id or 'all environments'}"
        f" since {each.since.isoformat(timespec='seconds')}, by {each.by or 'unknown'}:"
        f" `dispatcher resume {f'--environment {each.environment_id}' if each.environment_id else '--all'}`"
        for each in found
    ]
    if applies:
        said.append(
            "delivery.paused is set: `dispatcher run` will pause sending for all environments"
        )
    elif config.delivery.paused:
        said.append(
            "delivery.paused is set and was applied before: it does nothing more, remove it"
        )
    return said
