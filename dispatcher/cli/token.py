"""`dispatcher token`: who may use the API, decided on the database itself."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from dispatcher.cli.kinds import Duration

if TYPE_CHECKING:
    from dispatcher.cli.database import Database
    from dispatcher.config import Config
    from dispatcher.forms.tokens import NewToken
    from dispatcher.tokens import Token, Tokens

_as_json = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")


@click.group()
def token() -> None:
    """Make, list and revoke tokens of the API."""


@token.command()
@click.option(
    "--environment",
    default="env_default",
    show_default=True,
    metavar="ID",
    help="The environment it is bound to; '*' for every one.",
)
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
    help="How long it is good, such as 12h or 30d; for ever by default.",
)
@_as_json
@click.pass_obj
def create(
    config_file: Path | None,
    environment: str,
    scope: str,
    name: str,
    expires: timedelta | None,
    as_json: bool,
) -> None:
    """A new token. Prints it alone, this once: only its hash is kept."""
    import asyncio

    from dispatcher.cli import database
    from dispatcher.config import load

    async def made(visited: "Database") -> "Token":
        async with _tokens(visited, config) as tokens:
            form = _form(
                name=name,
                environment_id=environment,
                scope=scope,
                expires_at=expires and datetime.now(UTC) + expires,
            )
            return await tokens.create(form, environment_id=None)

    config = load(config_file)
    with database.visiting(config) as visited:
        token = asyncio.run(made(visited))
    if as_json:
        click.echo(json.dumps({**_fields(token), "token": token.token}))
        return
    click.echo(_described(token), err=True)
    click.echo(token.token)
    click.echo("Keep the token now: it is shown this once.", err=True)


@token.command(name="list")
@click.option("--environment", metavar="ID", help="Only of this environment.")
@_as_json
@click.pass_obj
def list_(config_file: Path | None, environment: str | None, as_json: bool) -> None:
    """The tokens, newest first, with those that are revoked or expired."""
    import asyncio

    from dispatcher.cli import database
    from dispatcher.config import load

    async def found(visited: "Database") -> tuple["Token", ...]:
        async with _tokens(visited, config) as tokens:
            listed = page = await tokens.list(environment)
            while page:
                page = await tokens.list(environment, after=page[-1].id)
                listed += page
            return listed

    config = load(config_file)
    with database.visiting(config) as visited:
        tokens = asyncio.run(found(visited))
    if as_json:
        click.echo(json.dumps([_listed(each) for each in tokens]))
        return
    for each in tokens:
        click.echo(_described(each))
    if not tokens:
        click.echo("there are no tokens", err=True)


@token.command()
@click.argument("token_id", metavar="ID", type=click.UUID)
@_as_json
@click.pass_obj
def revoke(config_file: Path | None, token_id: UUID, as_json: bool) -> None:
    """Refuse a token from now on, everywhere."""
    import asyncio

    from dispatcher.cli import database
    from dispatcher.config import load

    async def revoked(visited: "Database") -> None:
        async with _tokens(visited, config) as tokens:
            await tokens.revoke(token_id, environment_id=None)

    config = load(config_file)
    with database.visiting(config) as visited:
        asyncio.run(revoked(visited))
    told = json.dumps({"id": str(token_id), "revoked": True})
    click.echo(told if as_json else f"revoked {token_id}")


@asynccontextmanager
async def _tokens(visited: "Database", config: "Config") -> AsyncIterator["Tokens"]:
    """In one transaction, for whoever has the database's password: bound to no environment."""
    from dispatcher.cli import database
    from dispatcher.tokens import Tokens

    await database.look(visited, config)
    async with database.session(visited, config) as session, session.transaction() as opened:
        yield Tokens(opened, database.actor())


def _form(**fields: Any) -> "NewToken":
    from pydantic import ValidationError

    from dispatcher.forms.base import problems
    from dispatcher.forms.tokens import NewToken

    try:
        return NewToken(**fields)
    except ValidationError as error:
        raise problems(error) from None


def _fields(token: "Token") -> dict[str, Any]:
    return {
        "id": str(token.id),
        "name": token.name,
        "scope": token.scope,
        "environmentId": token.environment_id,
        "createdAt": _text(token.created_at),
        "expiresAt": _text(token.expires_at),
    }


def _listed(token: "Token") -> dict[str, Any]:
    return {
        **_fields(token),
        "lastUsedAt": _text(token.last_used_at),
        "revokedAt": _text(token.revoked_at),
    }


def _described(token: "Token") -> str:
    where = "every environment" if token.environment_id == "*" else token.environment_id
    revoked = f"\n  revoked  {_text(token.revoked_at)}" if token.revoked_at else ""
    return (
        f"{token.id}  {token.name}\n"
        f"  scope    {token.scope}, in {where}\n"
        f"  expires  {_text(token.expires_at) or 'never'}\n"
        f"  used     {_text(token.last_used_at) or 'never'}{revoked}"
    )


def _text(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
