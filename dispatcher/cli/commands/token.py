"""`dispatcher token`: manage API tokens, over the API or in the database."""

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, get_args
from uuid import UUID

import click

from dispatcher.cli.errors import CommandError
from dispatcher.cli.output.tables import Column, print_table, width
from dispatcher.cli.params import Duration, escape_controls
from dispatcher.cli.target import Target, call_api, environment_of, with_target
from dispatcher.core.environment_ids import ALL_ENVIRONMENTS
from dispatcher.core.model import Scope

if TYPE_CHECKING:
    from dispatcher.client import Resource
    from dispatcher.client.methods import AsyncApi

SHOWN_FIELDS = ("id", "name", "scope", "environmentId", "createdAt", "expiresAt")
LISTED_FIELDS = (*SHOWN_FIELDS, "lastUsedAt", "revokedAt")

TOKENS_LIMIT = 10_000
"""Most tokens among which a name is looked for."""
WIDE = 96
"""The width of a terminal from which there is room for the last column."""
_COLOURS = {"valid": "green", "revoked": "red", "expired": "red"}
COLUMNS = (
    Column("STATE", lambda item: _state(item), colour=lambda item: _COLOURS.get(_state(item))),
    Column("ID", lambda item: item.id),
    Column("SCOPE", lambda item: item.scope),
    Column("ENVIRONMENT", lambda item: item.environment_id),
    Column("NAME", lambda item: item.name, shrinks=1),
    Column(
        "EXPIRES",
        lambda item: (item.expires_at or "never")[:10],
        long=lambda item: f"expires {item.expires_at or 'never'}",
    ),
    Column(
        "USED",
        lambda item: (item.last_used_at or "never")[:10],
        long=lambda item: f"used {item.last_used_at or 'never'}",
    ),
)
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def token() -> None:
    """Create, list and revoke API tokens."""


@token.command()
@click.option(
    "--scope",
    type=click.Choice(get_args(Scope)),
    default="read",
    show_default=True,
    help="What the token allows. Each includes those before it: support adds retrying, replaying"
    " and the audit log to read, write adds changes, and admin adds tokens, environments"
    " and pauses.",
)
@click.option(
    "--name",
    default="command line",
    show_default=True,
    help="A name that says what the token is for.",
)
@click.option(
    "--expires",
    type=Duration(),
    metavar="DURATION",
    help="When it expires, such as 12h or 30d from now. Default: never.",
)
@_as_json
@with_target
def create(target: Target, scope: str, name: str, expires: timedelta | None, as_json: bool) -> None:
    """Create a token and print it, this once: only its hash is stored.

    The token is valid in --environment, by default env_default, or the environment of the token
    with which it is created. '*' means all environments.
    """
    expires_at = None if expires is None else datetime.now(UTC) + expires

    async def request(client: "AsyncApi") -> "Resource":
        environment = await environment_of(client)
        return await client.within(None).tokens.create(
            name, environment, scope=scope, expires_at=expires_at
        )

    created = call_api(target, request)
    if as_json:
        click.echo(json.dumps({**_fields(created, SHOWN_FIELDS), "token": created.token}))
        return
    click.echo(_described(created), err=True)
    click.echo(created.token)
    click.echo("Copy the token now. It is not shown again.", err=True)


@token.command(name="list")
@_as_json
@with_target
def list_(target: Target, as_json: bool) -> None:
    """List the tokens, newest first, including revoked and expired ones."""

    async def request(client: "AsyncApi") -> list["Resource"]:
        tokens = [token async for token in client.within(None).tokens.each()]
        return [token for token in tokens if client.environment in (None, token.environment_id)]

    tokens = call_api(target, request)
    if as_json:
        click.echo(json.dumps([_fields(token, LISTED_FIELDS) for token in tokens]))
        return
    limit = width()
    print_table(COLUMNS if limit is None or limit >= WIDE else COLUMNS[:-1], tokens)
    if not tokens:
        click.echo("There are no tokens.", err=True)


@token.command()
@click.argument("token", metavar="ID|NAME")
@_as_json
@with_target
def revoke(target: Target, token: str, as_json: bool) -> None:
    """Revoke a token: every daemon refuses it from now on.

    It is named by its id, or by its name if no other token that is not revoked has it.
    """

    async def request(client: "AsyncApi") -> UUID:
        token_id = await _find(client, token)
        await client.within(None).tokens.revoke(token_id)
        return token_id

    token_id = call_api(target, request)
    answer = json.dumps({"id": str(token_id), "revoked": True})
    click.echo(answer if as_json else f"revoked {token_id}")


async def _find(client: "AsyncApi", token: str) -> UUID:
    """Return the id of the token that the text names.

    An id is not looked up. Raise CommandError unless a name is that of exactly one token that is
    not revoked, of the named environment or of all, or if there are very many tokens.
    """
    try:
        return UUID(token)
    except ValueError:
        pass
    ids, count = [], 0
    async for item in client.within(None).tokens.each(limit=100):
        count += 1
        if count > TOKENS_LIMIT:
            raise CommandError("There are too many tokens to look for a name. Give the id.")
        is_wanted = item.name == token and not item.revoked_at
        if is_wanted and client.environment in (None, item.environment_id):
            ids.append(item.id)
    name = escape_controls(token)
    if not ids:
        raise CommandError(f"There is no token {name!r} to revoke. See `dispatcher token list`.")
    if len(ids) > 1:
        raise CommandError(
            f"{len(ids)} tokens are named {name!r}. Give an id: {', '.join(ids[:5])}"
        )
    return UUID(ids[0])


def _fields(token: "Resource", names: tuple[str, ...]) -> dict[str, Any]:
    return {name: token.get(name) for name in names}


def _described(token: "Resource") -> str:
    environment = (
        "every environment" if token.environment_id == ALL_ENVIRONMENTS else token.environment_id
    )
    lines = [
        f"{token.id}  {token.name}",
        f"  scope    {token.scope}, in {environment}",
        f"  expires  {token.expires_at or 'never'}",
        f"  used     {token.last_used_at or 'never'}",
    ]
    return "\n".join(escape_controls(line) for line in lines)


def _state(token: "Resource") -> str:
    if token.revoked_at:
        return "revoked"
    is_expired = token.expires_at and datetime.fromisoformat(token.expires_at) <= datetime.now(UTC)
    return "expired" if is_expired else "valid"
