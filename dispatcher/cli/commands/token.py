"""`dispatcher token`: manage API tokens, over the API or in the database."""

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from dispatcher.cli.params import Duration, shown
from dispatcher.cli.target import Place, ask, placed
from dispatcher.core.environment_ids import ALL_ENVIRONMENTS, DEFAULT_ENVIRONMENT

if TYPE_CHECKING:
    from dispatcher.client import Resource
    from dispatcher.client.methods import AsyncApi

SHOWN_FIELDS = ("id", "name", "scope", "environmentId", "createdAt", "expiresAt")
LISTED_FIELDS = (*SHOWN_FIELDS, "lastUsedAt", "revokedAt")

_as_json = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")


@click.group()
def token() -> None:
    """Create, list and revoke API tokens."""


@token.command()
@click.option(
    "--scope",
    type=click.Choice(["read", "write", "admin"]),
    default="read",
    show_default=True,
    help="What it may do: look; also change webhooks and deliveries; also tokens and environments.",
)
@click.option(
    "--name", default="command line", show_default=True, help="Who or what the token is for."
)
@click.option(
    "--expires",
    type=Duration(),
    metavar="DURATION",
    help="How long it is good, such as 12h or 30d; without end by default.",
)
@_as_json
@placed
def create(place: Place, scope: str, name: str, expires: timedelta | None, as_json: bool) -> None:
    """Create a token and print it once: only its hash is stored.

    The token is valid in --environment, which is env_default unless given, or in all with '*'.
    """
    until = None if expires is None else datetime.now(UTC) + expires
    environment = place.environment or DEFAULT_ENVIRONMENT

    async def wish(client: "AsyncApi") -> "Resource":
        return await client.within(None).tokens.create(
            name, environment, scope=scope, expires_at=until
        )

    made = ask(place, wish)
    if as_json:
        click.echo(json.dumps({**_fields(made, SHOWN_FIELDS), "token": made.token}))
        return
    click.echo(_described(made), err=True)
    click.echo(made.token)
    click.echo("Keep the token now: it is shown this once.", err=True)


@token.command(name="list")
@_as_json
@placed
def list_(place: Place, as_json: bool) -> None:
    """List the tokens, newest first, including revoked and expired ones."""

    async def wish(client: "AsyncApi") -> list["Resource"]:
        every = [each async for each in client.within(None).tokens.each()]
        return [e for e in every if place.environment in (None, e.environment_id)]

    found = ask(place, wish)
    if as_json:
        click.echo(json.dumps([_fields(each, LISTED_FIELDS) for each in found]))
        return
    for each in found:
        click.echo(_described(each))
    if not found:
        click.echo("there are no tokens", err=True)


@token.command()
@click.argument("token_id", metavar="ID", type=click.UUID)
@_as_json
@placed
def revoke(place: Place, token_id: UUID, as_json: bool) -> None:
    """Revoke a token: every daemon refuses it from now on."""
    ask(place, lambda client: client.within(None).tokens.revoke(token_id))
    answer = json.dumps({"id": str(token_id), "revoked": True})
    click.echo(answer if as_json else f"revoked {token_id}")


def _fields(token: "Resource", names: tuple[str, ...]) -> dict[str, Any]:
    return {name: token.get(name) for name in names}


def _described(token: "Resource") -> str:
    where = (
        "every environment" if token.environment_id == ALL_ENVIRONMENTS else token.environment_id
    )
    lines = [
        f"{token.id}  {token.name}",
        f"  scope    {token.scope}, in {where}",
        f"  expires  {token.expires_at or 'never'}",
        f"  used     {token.last_used_at or 'never'}",
    ]
    if token.revoked_at:
        lines.append(f"  revoked  {token.revoked_at}")
    return "\n".join(shown(line) for line in lines)
