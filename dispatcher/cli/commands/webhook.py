"""`dispatcher webhook`: manage webhooks, over the API or in the database."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from dispatcher.cli.commands.emit import Data
from dispatcher.cli.commands.recovery import RECOVERY_COMMANDS
from dispatcher.cli.confirmation import confirm, is_person_there
from dispatcher.cli.json_input import read_object
from dispatcher.cli.options.credential_options import check_url, credential_options
from dispatcher.cli.options.delivery_options import filter_options
from dispatcher.cli.output.delivery_output import DELIVERIES_OF_A_WEBHOOK
from dispatcher.cli.output.listing import PAGE_LIMIT, first, limit_option, print_items
from dispatcher.cli.output.tables import print_table
from dispatcher.cli.output.webhook_output import (
    WEBHOOKS,
    old_secret_text,
    print_webhook,
)
from dispatcher.cli.params import Duration, escape_controls
from dispatcher.cli.target import (
    Target,
    call_api,
    each_environment,
    with_target,
)
from dispatcher.cli.webhook_names import WebhookParam, call_about_webhook

if TYPE_CHECKING:
    from dispatcher.client import Resource
    from dispatcher.client.methods import AsyncApi

_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_id = click.argument("webhook_id", metavar="ID|NAME", type=WebhookParam())
_more = click.option(
    "--more",
    type=Data(),
    metavar="JSON|@FILE|-",
    help="""More fields, named as in the API, such as '{"rateLimit": 10}'.""",
)

NOT_MORE = {"webhook_id": "the webhook is the argument ID|NAME"}
"""Names that `--more` of a change must not have, and how the value is given instead."""
NOT_MORE_OF_NEW = {
    "url": "give it as the argument URL",
    "events": "give them by --events",
}
"""The same of a new webhook."""


@click.group()
def webhook() -> None:
    """Create and manage webhooks, and send deliveries again."""


@webhook.command()
@click.argument("url")
@click.option(
    "--events",
    required=True,
    metavar="LIST",
    help="The event types, such as 'user.*,role.created' or '*'.",
)
@click.option("--name", help="A name for people. Default: the host of the URL.")
@credential_options()
@_more
@_as_json
@with_target
def create(
    target: Target,
    url: str,
    events: str,
    name: str | None,
    credentials: dict[str, Any],
    more: str | None,
    as_json: bool,
) -> None:
    """Create a webhook that sends new events to URL. Print the signing secret, this once."""
    check_url(url)
    fields = _fields(more, NOT_MORE_OF_NEW, events=events, name=name) | credentials
    print_webhook(call_api(target, lambda client: client.webhooks.create(url, **fields)), as_json)


@webhook.command(name="list")
@click.option("--search", metavar="TEXT", help="Only those with this text in their name or URL.")
@click.option(
    "--state",
    type=click.Choice(["active", "failing", "resting", "disabled"]),
    help="Only those of this state.",
)
@_as_json
@with_target
def list_(target: Target, search: str | None, state: str | None, as_json: bool) -> None:
    """List the webhooks, oldest first. Without --environment, list those of every environment."""

    async def fetch(client: "AsyncApi") -> list["Resource"]:
        pages = [
            await api.webhooks.list(search=search or None, state=state)
            async for api in each_environment(client)
        ]
        return [webhook for page in pages for webhook in page]

    webhooks = sorted(call_api(target, fetch), key=lambda webhook: str(webhook.created_at))
    print_items(
        webhooks,
        WEBHOOKS,
        as_json=as_json,
        empty="There are no such webhooks." if search or state else "There are no webhooks.",
    )


@webhook.command()
@_id
@_as_json
@with_target
def get(target: Target, webhook_id: UUID | str, as_json: bool) -> None:
    """Show one webhook."""
    print_webhook(
        call_about_webhook(target, webhook_id, lambda api, id_: api.webhooks.get(id_)), as_json
    )


@webhook.command()
@_id
@click.option("--url", help="The new URL.")
@click.option("--events", metavar="LIST", help="All event types that it gets from now on.")
@click.option("--name", help="The new name.")
@credential_options(can_remove=True)
@_more
@_as_json
@with_target
def update(
    target: Target,
    webhook_id: UUID | str,
    url: str | None,
    events: str | None,
    name: str | None,
    credentials: dict[str, Any],
    more: str | None,
    as_json: bool,
) -> None:
    """Change a webhook. Settings that are not given stay as they are."""
    check_url(url)
    fields = _fields(more, NOT_MORE, url=url, events=events, name=name) | credentials
    if not fields:
        raise click.UsageError("Nothing to change is given. See --help for what can be changed.")
    print_webhook(
        call_about_webhook(target, webhook_id, lambda api, id_: api.webhooks.update(id_, **fields)),
        as_json,
    )


@webhook.command()
@_id
@click.option("--yes", is_flag=True, help="Delete without asking.")
@_as_json
@with_target
def delete(target: Target, webhook_id: UUID | str, yes: bool, as_json: bool) -> None:
    """Delete a webhook and cancel its pending deliveries. On a terminal, ask first."""
    if is_person_there() and not yes:
        item = call_about_webhook(target, webhook_id, lambda api, id_: api.webhooks.get(id_))
        named = escape_controls(f"{item.name} ({item.url})")
        confirm(f"Delete the webhook {named}, and cancel its pending deliveries?")
        webhook_id = UUID(item.id)  # the one that was shown, not another that has the name by now

    async def request(api: "AsyncApi", id_: UUID) -> UUID:
        await api.webhooks.delete(id_)
        return id_

    id_ = call_about_webhook(target, webhook_id, request)
    deleted = json.dumps({"id": str(id_), "deleted": True})
    click.echo(deleted if as_json else f"deleted {id_}")


@webhook.command()
@_id
@_as_json
@with_target
def enable(target: Target, webhook_id: UUID | str, as_json: bool) -> None:
    """Enable a disabled webhook. Its pending deliveries are sent first."""
    enabled = call_about_webhook(
        target, webhook_id, lambda api, id_: api.webhooks.update(id_, active=True)
    )
    print_webhook(enabled, as_json)
    if not as_json:
        click.echo(
            "To send what it missed, and what failed:"
            f" dispatcher replay {enabled.id} --since TIME, such as 2h for two hours ago.",
            err=True,
        )


@webhook.command()
@_id
@_as_json
@with_target
def disable(target: Target, webhook_id: UUID | str, as_json: bool) -> None:
    """Disable a webhook. Its pending deliveries wait until you enable it."""
    print_webhook(
        call_about_webhook(
            target, webhook_id, lambda api, id_: api.webhooks.update(id_, active=False)
        ),
        as_json,
    )


@webhook.command()
@_id
@click.option(
    "--overlap",
    type=Duration("7d"),
    metavar="DURATION",
    help="How long the old secret also signs, at most 7d. Default: not at all.",
)
@_as_json
@with_target
def rotate(
    target: Target, webhook_id: UUID | str, overlap: timedelta | None, as_json: bool
) -> None:
    """Replace the signing secret of a webhook. Print the new one, this once."""
    seconds = round(overlap.total_seconds()) if overlap else 0
    rotated = call_about_webhook(
        target,
        webhook_id,
        lambda api, id_: api.webhooks.rotate_secret(id_, overlap_seconds=seconds),
    )
    print_webhook(rotated, as_json)
    if not as_json:
        click.echo(old_secret_text(rotated))


@webhook.command()
@_id
@_as_json
@with_target
def test(target: Target, webhook_id: UUID | str, as_json: bool) -> None:
    """Send a webhook.test event to a webhook, and print the delivery."""
    delivery = call_about_webhook(target, webhook_id, lambda api, id_: api.webhooks.test_ping(id_))
    if as_json:
        click.echo(json.dumps(delivery))
    else:
        print_table(DELIVERIES_OF_A_WEBHOOK, [delivery])


@webhook.command()
@_id
@filter_options(webhook=False)
@limit_option
@_as_json
@with_target
def deliveries(
    target: Target, webhook_id: UUID | str, filters: dict[str, Any], limit: int, as_json: bool
) -> None:
    """List the deliveries of a webhook, newest first."""

    async def fetch(api: "AsyncApi", id_: UUID) -> list["Resource"]:
        iterator = api.deliveries.each(**filters, webhook_id=id_, limit=min(limit + 1, PAGE_LIMIT))
        return await first(iterator, limit + 1)

    items = call_about_webhook(target, webhook_id, fetch)
    print_items(
        items,
        DELIVERIES_OF_A_WEBHOOK,
        as_json=as_json,
        empty="There are no such deliveries.",
        limit=limit,
    )


def _fields(
    more: str | None, refused: Mapping[str, str], *, events: str | None, **fields: str | None
) -> dict[str, Any]:
    """Return the given fields: those of the options, which win, and those of `more`.

    Raise UsageError if `more` has a name of `refused`, which says how to give it instead.
    """
    options: dict[str, Any] = {name: value for name, value in fields.items() if value is not None}
    if events is not None:
        options["events"] = [text.strip() for text in events.split(",")]
    if more is None:
        return options
    further = read_object(more, "--more")
    for name, instead in refused.items():
        if name in further:
            raise click.UsageError(f"--more must be without {name!r}: {instead}.")
    return {**further, **options}


for command in RECOVERY_COMMANDS:
    webhook.add_command(command)
