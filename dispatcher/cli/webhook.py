"""`dispatcher webhook`: endpoints, made and unmade on the database itself."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

if TYPE_CHECKING:
    from dispatcher.cli.database import Database
    from dispatcher.config import Config
    from dispatcher.forms.webhooks import NewWebhook
    from dispatcher.webhooks import Webhook, Webhooks

_environment = click.option("--environment", metavar="ID", help="Only of this environment.")
_as_json = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")


@click.group()
def webhook() -> None:
    """Make, list and delete webhooks."""


@webhook.command()
@click.argument("url")
@click.option(
    "--events", required=True, metavar="LIST", help="Such as 'user.*,role.created' or '*'."
)
@click.option("--name", help="What people call it; the URL's host by default.")
@click.option("--environment", default="env_default", metavar="ID", help="Whose events it gets.")
@_as_json
@click.pass_obj
def create(
    config_file: Path | None,
    url: str,
    events: str,
    name: str | None,
    environment: str,
    as_json: bool,
) -> None:
    """Send what is emitted from now on to URL. Prints the signing secret, this once."""
    import asyncio

    from dispatcher.cli import database
    from dispatcher.config import load

    async def made(visited: "Database") -> "Webhook":
        async with _webhooks(visited, config, sealing=True) as webhooks:
            form = _form(url=url, events=[text.strip() for text in events.split(",")], name=name)
            return await webhooks.create(form, environment_id=environment)

    config = load(config_file)
    with database.visiting(config) as visited:
        webhook = asyncio.run(made(visited))
    if as_json:
        click.echo(json.dumps({**_fields(webhook), "secret": webhook.signing_secret}))
        return
    click.echo(_described(webhook))
    click.echo(f"  secret  {webhook.signing_secret}")
    click.echo("Keep the secret now: it is shown this once.")


@webhook.command(name="list")
@_environment
@_as_json
@click.pass_obj
def list_(config_file: Path | None, environment: str | None, as_json: bool) -> None:
    """The webhooks, oldest first."""
    import asyncio

    from dispatcher.cli import database
    from dispatcher.config import load

    async def found(visited: "Database") -> list["Webhook"]:
        async with _webhooks(visited, config) as webhooks:
            return list(await webhooks.list(environment))

    config = load(config_file)
    with database.visiting(config) as visited:
        webhooks = asyncio.run(found(visited))
    if as_json:
        click.echo(json.dumps([_listed(each) for each in webhooks]))
        return
    for each in webhooks:
        click.echo(_described(each))
    if not webhooks:
        click.echo("there are no webhooks", err=True)


@webhook.command()
@click.argument("webhook_id", metavar="ID", type=click.UUID)
@click.pass_obj
def delete(config_file: Path | None, webhook_id: UUID) -> None:
    """Send nothing more to a webhook; what is pending for it is cancelled."""
    import asyncio

    from dispatcher.cli import database
    from dispatcher.config import load

    async def deleted(visited: "Database") -> None:
        async with _webhooks(visited, config) as webhooks:
            await webhooks.delete(webhook_id)

    config = load(config_file)
    with database.visiting(config) as visited:
        asyncio.run(deleted(visited))
    click.echo(f"deleted {webhook_id}")


@asynccontextmanager
async def _webhooks(
    visited: "Database", config: "Config", *, sealing: bool = False
) -> AsyncIterator["Webhooks"]:
    """Only what is `sealing` secrets needs the key, and makes the first one."""
    from dispatcher.audit import Actor
    from dispatcher.cli import database
    from dispatcher.office import Office

    await database.look(visited, config)
    cipher = await database.unlocked(visited, config) if sealing else None
    async with database.session(visited, config) as session, session.transaction() as opened:
        yield Office(config, cipher).webhooks(opened, Actor("cli"))


def _form(**fields: Any) -> "NewWebhook":
    from pydantic import ValidationError

    from dispatcher.forms.base import problems
    from dispatcher.forms.webhooks import NewWebhook

    try:
        return NewWebhook.model_validate(fields)
    except ValidationError as error:
        raise problems(error) from None


def _fields(webhook: "Webhook") -> dict[str, Any]:
    return {
        "id": str(webhook.id),
        "url": webhook.url,
        "name": webhook.name,
        "events": list(webhook.events),
        "active": webhook.active,
        "environmentId": webhook.environment_id,
        "createdAt": _text(webhook.created_at),
    }


def _listed(webhook: "Webhook") -> dict[str, Any]:
    return {
        **_fields(webhook),
        "updatedAt": _text(webhook.updated_at),
        "disabledReason": webhook.disabled_reason,
    }


def _described(webhook: "Webhook") -> str:
    state = "active" if webhook.active else f"off ({webhook.disabled_reason or 'by hand'})"
    return (
        f"{webhook.id}  {webhook.url}\n"
        f"  name    {webhook.name}\n"
        f"  events  {', '.join(webhook.events)}\n"
        f"  state   {state}, in {webhook.environment_id}"
    )


def _text(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
