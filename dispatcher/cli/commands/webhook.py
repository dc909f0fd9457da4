"""`dispatcher webhook`: manage webhooks, over the API or in the database."""

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from dispatcher.cli.commands.emit import Data
from dispatcher.cli.params import Duration, Moment, shown
from dispatcher.cli.target import (
    Place,
    ask,
    everywhere,
    placed,
)

if TYPE_CHECKING:
    from dispatcher.client import Resource
    from dispatcher.client.methods import AsyncApi

SHOWN = 20

_as_json = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
_id = click.argument("webhook_id", metavar="ID", type=click.UUID)
_more = click.option(
    "--more",
    type=Data(),
    metavar="JSON|@FILE|-",
    help="""Further fields as in the API, such as '{"rateLimit": 10}'.""",
)


@click.group()
def webhook() -> None:
    """Create and manage webhooks, and send again what they missed."""


@webhook.command()
@click.argument("url")
@click.option(
    "--events", required=True, metavar="LIST", help="Such as 'user.*,role.created' or '*'."
)
@click.option("--name", help="What people call it; the URL's host by default.")
@_more
@_as_json
@placed
def create(
    place: Place, url: str, events: str, name: str | None, more: str | None, as_json: bool
) -> None:
    """Create a webhook that sends new events to URL. Print the signing secret, this once."""
    fields = _fields(more, events=events, name=name)
    made = ask(place, lambda client: client.webhooks.create(url, **fields))
    _say(made, as_json)


@webhook.command(name="list")
@_as_json
@placed
def list_(place: Place, as_json: bool) -> None:
    """List the webhooks, oldest first; those of every environment without --environment."""

    async def found(client: "AsyncApi") -> list["Resource"]:
        return [each async for one in everywhere(client) for each in await one.webhooks.list()]

    webhooks = sorted(ask(place, found), key=lambda each: str(each.created_at))
    if as_json:
        click.echo(json.dumps(webhooks))
        return
    for each in webhooks:
        click.echo(_described(each))
    if not webhooks:
        click.echo("there are no webhooks", err=True)


@webhook.command()
@_id
@_as_json
@placed
def get(place: Place, webhook_id: UUID, as_json: bool) -> None:
    """Show one webhook."""
    _say(ask(place, lambda client: client.webhooks.get(webhook_id)), as_json)


@webhook.command()
@_id
@click.option("--url", help="Where to send from now on.")
@click.option("--events", metavar="LIST", help="All that it is to get from now on.")
@click.option("--name", help="What people call it.")
@_more
@_as_json
@placed
def update(
    place: Place,
    webhook_id: UUID,
    url: str | None,
    events: str | None,
    name: str | None,
    more: str | None,
    as_json: bool,
) -> None:
    """Change a webhook. Settings that are not given stay as they are."""
    fields = _fields(more, url=url, events=events, name=name)
    if not fields:
        raise click.UsageError("say what is to be changed, for instance by --events")
    _say(ask(place, lambda client: client.webhooks.update(webhook_id, **fields)), as_json)


@webhook.command()
@_id
@_as_json
@placed
def delete(place: Place, webhook_id: UUID, as_json: bool) -> None:
    """Delete a webhook and cancel its pending deliveries."""
    ask(place, lambda client: client.webhooks.delete(webhook_id))
    deleted = json.dumps({"id": str(webhook_id), "deleted": True})
    click.echo(deleted if as_json else f"deleted {webhook_id}")


@webhook.command()
@_id
@_as_json
@placed
def enable(place: Place, webhook_id: UUID, as_json: bool) -> None:
    """Enable a disabled webhook, and send its pending deliveries first."""
    _say(ask(place, lambda client: client.webhooks.update(webhook_id, active=True)), as_json)


@webhook.command()
@_id
@_as_json
@placed
def disable(place: Place, webhook_id: UUID, as_json: bool) -> None:
    """Disable a webhook. Its pending deliveries wait until it is enabled."""
    _say(ask(place, lambda client: client.webhooks.update(webhook_id, active=False)), as_json)


@webhook.command()
@_id
@click.option(
    "--overlap",
    type=Duration(),
    metavar="DURATION",
    help="For so long, up to 7d, the old secret signs as well; not at all by default.",
)
@_as_json
@placed
def rotate(place: Place, webhook_id: UUID, overlap: timedelta | None, as_json: bool) -> None:
    """Replace the signing secret of a webhook. Print the new one, this once."""
    seconds = round(overlap.total_seconds()) if overlap else 0
    _say(
        ask(
            place,
            lambda client: client.webhooks.rotate_secret(webhook_id, overlap_seconds=seconds),
        ),
        as_json,
    )


@webhook.command()
@_id
@_as_json
@placed
def test(place: Place, webhook_id: UUID, as_json: bool) -> None:
    """Send a webhook.test event to a webhook, and print the delivery."""
    delivery = ask(place, lambda client: client.webhooks.test_ping(webhook_id))
    click.echo(json.dumps(delivery) if as_json else delivery_line(delivery))


@webhook.command()
@_id
@click.option(
    "--status",
    type=click.Choice(["PENDING", "DELIVERED", "FAILED", "CANCELLED"], case_sensitive=False),
    help="Only those of this status.",
)
@click.option("--event", metavar="TYPE", help="Only those of this type, or of user.* and so on.")
@click.option("--since", type=Moment(), metavar="TIME", help="Made then or later.")
@click.option("--until", type=Moment(), metavar="TIME", help="Made before then.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=SHOWN, show_default=True, help="No more."
)
@_as_json
@placed
def deliveries(
    place: Place,
    webhook_id: UUID,
    status: str | None,
    event: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    as_json: bool,
) -> None:
    """List the deliveries of a webhook, newest first."""

    async def found(client: "AsyncApi") -> list["Resource"]:
        items: list[Resource] = []
        async for item in client.webhooks.each_delivery(
            webhook_id, status=status, event=event, since=since, until=until, limit=min(limit, 100)
        ):
            items.append(item)
            if len(items) == limit:
                break
        return items

    items = ask(place, found)
    if as_json:
        click.echo(json.dumps(items))
        return
    for item in items:
        click.echo(delivery_line(item))
    if not items:
        click.echo("there are no such deliveries", err=True)


@webhook.command()
@_id
@click.option("--since", type=Moment(), required=True, metavar="TIME", help="From when on.")
@click.option("--until", type=Moment(), metavar="TIME", help="Until when; until now by default.")
@click.option("--failed-only", is_flag=True, help="Leave out events it was never owed.")
@click.option("--rate", type=click.IntRange(min=1), metavar="N", help="At most so many a second.")
@click.option("--dry-run", is_flag=True, help="Only count what would be sent.")
@_as_json
@placed
def recover(
    place: Place,
    webhook_id: UUID,
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
    started = ask(
        place,
        lambda client: client.webhooks.recover(
            webhook_id, since, until=until, missed=not failed_only, rate=rate, dry_run=dry_run
        ),
    )
    if as_json:
        click.echo(json.dumps(started))
    elif dry_run:
        click.echo(counted(started))
    else:
        click.echo(f"{started.id} is {started.state}")


@webhook.command(name="cancel-recovery")
@_id
@click.argument("recovery_id", metavar="RECOVERY")
@_as_json
@placed
def cancel_recovery(place: Place, webhook_id: UUID, recovery_id: str, as_json: bool) -> None:
    """Stop a recovery. Deliveries that it has already created are still sent."""
    ended = ask(place, lambda client: client.webhooks.cancel_recovery(webhook_id, recovery_id))
    click.echo(json.dumps(ended) if as_json else f"{ended.id} is {ended.state}")


def counted(preview: "Resource") -> str:
    """Return the counts of a preview, for people."""
    more = "at least " if preview.more else ""
    return f"{more}{preview.failed} failed and {preview.missed} missed"


def delivery_line(delivery: "Resource") -> str:
    """Return one line about a delivery, for people."""
    answer = delivery.response_status or delivery.error or ""
    return shown(
        f"{delivery.ended_at or delivery.created_at}  {delivery.status:<9}  {delivery.id}"
        f"  {delivery.event}  attempts {delivery.attempts}  {answer}"
    ).rstrip()


def _fields(more: str | None, *, events: str | None, **fields: str | None) -> dict[str, Any]:
    """Return the given fields: those of the options, which win, and those of `more`."""
    given: dict[str, Any] = {name: value for name, value in fields.items() if value is not None}
    if events is not None:
        given["events"] = [text.strip() for text in events.split(",")]
    if more is None:
        return given
    try:
        further = json.loads(more)
    except (ValueError, RecursionError):
        further = None
    if not isinstance(further, dict):
        raise click.UsageError("--more must be a JSON object")
    return {**further, **given}


def _say(webhook: "Resource", as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(webhook))
        return
    click.echo(_described(webhook))
    if "secret" in webhook:
        click.echo(f"  secret  {webhook.secret}")
        click.echo("Keep the secret now: it is shown this once.")


def _described(webhook: "Resource") -> str:
    state = "active" if webhook.active else f"off ({webhook.disabled_reason or 'by hand'})"
    return "\n".join(
        shown(line)
        for line in (
            f"{webhook.id}  {webhook.url}",
            f"  name    {webhook.name}",
            f"  events  {', '.join(webhook.events)}",
            f"  state   {state}, in {webhook.environment_id}",
        )
    )
