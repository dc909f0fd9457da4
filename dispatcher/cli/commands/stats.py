"""`dispatcher stats`: how much waits, and how the last hour went."""

import json
from typing import TYPE_CHECKING

import click

from dispatcher.cli.output.listing import as_json_option
from dispatcher.cli.target import Target, call_api, with_target
from dispatcher.core import durations

if TYPE_CHECKING:
    from dispatcher.client import Resource


@click.command()
@click.option("--all", "of_all", is_flag=True, help="All environments together.")
@as_json_option
@with_target
def stats(target: Target, of_all: bool, as_json: bool) -> None:
    """Show how much waits to be sent, for how long, and the results of the last hour."""
    if of_all and target.environment is not None:
        raise click.UsageError("Give --environment or --all, not both.")
    figures = call_api(target, lambda client: client.stats.get(all=of_all))
    if as_json:
        click.echo(json.dumps(figures))
    else:
        _print(figures)


def _print(figures: "Resource") -> None:
    whole = figures.environment_id == "*"
    click.echo("all environments" if whole else f"environment {figures.environment_id}")
    pending, more = figures.pending, figures.pending["more"]
    for state, meaning in (
        ("due", f"the oldest for {durations.rounded(pending['oldestDueSeconds'])}"),
        ("scheduled", "wait for their next attempt"),
        ("held", "the webhook is disabled or rests, or sending is paused"),
    ):
        count = f"{pending[state]:,}{'+' if state in more else ''}"
        click.echo(f"  {state:<12} {count:>9}  {meaning if pending[state] else ''}".rstrip())
    inbox = figures.inbox
    waiting = f"{inbox['events']:,}{'+' if inbox['more'] else ''}"
    click.echo(
        f"  {'not fanned out':<12} {waiting:>7}"
        + (
            f"  the oldest for {durations.rounded(inbox['oldestSeconds'])}"
            if inbox["events"]
            else ""
        )
    )
    if figures.quarantined:
        click.echo(click.style(f"  quarantined  {figures.quarantined:>9,}", fg="red"))
    webhooks, hour = figures.webhooks, figures.last_hour
    click.echo(
        f"  webhooks     {webhooks['active']:>9,}  active, {webhooks['failing']:,} of them failing;"
        f" {webhooks['disabled']:,} disabled"
    )
    click.echo(
        f"  last hour    {hour['delivered']:>9,}  delivered, {hour['failed']:,} failed;"
        f" {hour['failedAttempts']:,} of {hour['attempts']:,} attempts failed"
    )
    paused = figures.paused_at or figures.all_paused_at
    if paused:
        click.echo(click.style(f"  paused since {paused}", fg="yellow"))
