"""`dispatcher pause` and `dispatcher resume`."""

import json
from typing import TYPE_CHECKING

import click

from dispatcher.cli.errors import CommandError
from dispatcher.cli.target import Target, call_api, with_target

if TYPE_CHECKING:
    from dispatcher.client import Resource

SHOWN_LIMIT = 10
"""Most paused environments that are named in a line."""

_all = click.option("--all", "of_all", is_flag=True, help="All environments.")
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command()
@_all
@_as_json
@with_target
def pause(target: Target, of_all: bool, as_json: bool) -> None:
    """Stop sending, for one environment or for all of them, until it is resumed.

    Without --environment and --all, the environment is env_default, or that of the token.

    Events emitted while sending is paused are delivered afterwards.
    """
    _check(target, of_all)
    _print(call_api(target, lambda client: client.pauses.pause(all=of_all)), as_json)


@click.command()
@_all
@_as_json
@with_target
def resume(target: Target, of_all: bool, as_json: bool) -> None:
    """End the pause of one environment, or with --all the pause of all of them.

    Without --environment and --all, the environment is env_default, or that of the token.

    An environment that is paused itself stays paused after --all.
    """
    from dispatcher.client import ConflictError

    _check(target, of_all)
    try:
        status = call_api(target, lambda client: client.pauses.resume(all=of_all))
    except ConflictError:  # its message says how to resume all of them by the API
        raise CommandError(
            "All environments are paused. Resume them by: dispatcher resume --all"
        ) from None
    _print(status, as_json)


def _check(target: Target, of_all: bool) -> None:
    if of_all and target.environment is not None:
        raise click.UsageError("Give --environment or --all, not both.")


def _print(status: "Resource", as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(status))
        return
    name = f"environment {status.environment_id}" if status.environment_id else "all environments"
    if status.paused_at:
        click.echo(f"{name}: paused since {status.paused_at}")
    elif status.all_paused_at:
        click.echo(
            f"{name}: not paused itself, but all environments are, since {status.all_paused_at}: "
            "nothing is sent until `dispatcher resume --all`"
        )
    elif status.get("stillPaused"):
        click.echo(_still_paused(status))
    else:
        click.echo(f"{name}: sending")


def _still_paused(status: "Resource") -> str:
    """Return which environments stay paused when the pause of all ends, and how to resume one."""
    shown = status.still_paused[:SHOWN_LIMIT]
    unshown = status.still_paused_count - len(shown)
    listed = ", ".join(shown) + (f" and {unshown:,} more" if unshown > 0 else "")
    which = shown[0] if status.still_paused_count == 1 else "ID"
    return (
        f"all environments: no pause of all to end; still paused: {listed}."
        f" Run: dispatcher resume --environment {which}"
    )
