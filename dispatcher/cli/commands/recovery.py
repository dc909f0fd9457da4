"""The commands of `dispatcher webhook` for recoveries. `dispatcher replay` starts one too."""

import json
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

import click

from dispatcher.cli.options.replay_options import replay_options
from dispatcher.cli.output.listing import (
    PAGE_LIMIT,
    as_json_option,
    first,
    limit_option,
    print_item,
    print_items,
)
from dispatcher.cli.output.tables import Column, clock, print_table
from dispatcher.cli.output.webhook_output import preview_text
from dispatcher.cli.target import Target, with_target
from dispatcher.cli.webhook_names import WebhookParam, call_about_webhook

if TYPE_CHECKING:
    from dispatcher.client import Resource
    from dispatcher.client.methods import AsyncApi

COLUMNS = (
    Column("STARTED", lambda item: clock(item.created_at), long=lambda item: item.created_at),
    Column("ID", lambda item: item.id),
    Column("STATE", lambda item: item.state),
    Column("SINCE", lambda item: clock(item.since), long=lambda item: f"since {item.since}"),
    Column("UNTIL", lambda item: clock(item.until), long=lambda item: f"until {item.until}"),
    Column("QUEUED AGAIN", lambda item: _made(item), long=lambda item: f"{_made(item)} queued"),
    Column("ERROR", lambda item: item.error or "", shrinks=1),
)

_id = click.argument("webhook_id", metavar="ID|NAME", type=WebhookParam())
_recovery_id = click.argument("recovery_id", metavar="RECOVERY")


@click.command()
@_id
@replay_options
@as_json_option
@with_target
def recover(
    target: Target,
    webhook_id: UUID | str,
    since: datetime,
    until: datetime | None,
    failed_only: bool,
    rate: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Start to send failed and missed deliveries of a time span again, without waiting.

    `dispatcher replay` asks before it starts, waits, and shows the progress.
    """
    started = call_about_webhook(
        target,
        webhook_id,
        lambda api, id_: api.webhooks.recover(
            id_, since, until=until, missed=not failed_only, rate=rate, dry_run=dry_run
        ),
    )
    if as_json:
        click.echo(json.dumps(started))
    elif dry_run:
        click.echo(preview_text(started))
    else:
        click.echo(f"{started.id} is {started.state}")
        click.echo(
            f"To see how far it is: dispatcher webhook recovery {started.webhook_id} {started.id}",
            err=True,
        )


@click.command()
@_id
@limit_option
@as_json_option
@with_target
def recoveries(target: Target, webhook_id: UUID | str, limit: int, as_json: bool) -> None:
    """List the recoveries of a webhook, newest first, also those of `dispatcher replay`."""

    async def fetch(api: "AsyncApi", id_: UUID) -> list["Resource"]:
        iterator = api.webhooks.each_recovery(id_, limit=min(limit + 1, PAGE_LIMIT))
        return await first(iterator, limit + 1)

    items = call_about_webhook(target, webhook_id, fetch)
    empty = "The webhook has no recoveries."
    print_items(items, COLUMNS, as_json=as_json, empty=empty, limit=limit)


@click.command()
@_id
@_recovery_id
@as_json_option
@with_target
def recovery(target: Target, webhook_id: UUID | str, recovery_id: str, as_json: bool) -> None:
    """Show how far a recovery is."""
    resource = call_about_webhook(
        target, webhook_id, lambda api, id_: api.webhooks.recovery(id_, recovery_id)
    )
    print_item(resource, lambda item: print_table(COLUMNS, [item]), as_json=as_json)


@click.command(name="cancel-recovery")
@_id
@_recovery_id
@as_json_option
@with_target
def cancel_recovery(
    target: Target, webhook_id: UUID | str, recovery_id: str, as_json: bool
) -> None:
    """Cancel a recovery. Deliveries that it has already created are still sent."""
    ended = call_about_webhook(
        target, webhook_id, lambda api, id_: api.webhooks.cancel_recovery(id_, recovery_id)
    )
    click.echo(json.dumps(ended) if as_json else f"{ended.id} is {ended.state}")


def _made(recovery: "Resource") -> str:
    """Return how many deliveries were queued again, of how many if they were counted."""
    total = "" if recovery.total is None else f" of {recovery.total:,}"
    return f"{recovery.made:,}{total}"


RECOVERY_COMMANDS: tuple[click.Command, ...] = (recover, recoveries, recovery, cancel_recovery)
