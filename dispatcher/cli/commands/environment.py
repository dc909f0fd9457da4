"""`dispatcher environment`: list, create and rename them, over the API or in the database."""

import json
from typing import TYPE_CHECKING

import click

from dispatcher.cli.output.listing import (
    PAGE_LIMIT,
    as_json_option,
    first,
    limit_option,
    print_items,
)
from dispatcher.cli.output.tables import Column
from dispatcher.cli.params import escape_controls
from dispatcher.cli.target import Target, call_api, with_target

if TYPE_CHECKING:
    from dispatcher.client import Resource
    from dispatcher.client.methods import AsyncApi

COLUMNS = (
    Column("ID", lambda item: item.id),
    Column("NAME", lambda item: item.name, shrinks=1),
    Column(
        "STATE",
        lambda item: _state(item),
        colour=lambda item: None if _state(item) == "sending" else "yellow",
    ),
    Column("CREATED", lambda item: item.created_at[:10], long=lambda item: item.created_at),
)


@click.group()
def environment() -> None:
    """List, create and rename environments (tenants)."""


@environment.command(name="list")
@limit_option
@as_json_option
@with_target
def list_(target: Target, limit: int, as_json: bool) -> None:
    """List the environments, newest first. With --environment, list only that one."""

    async def fetch(client: "AsyncApi") -> list["Resource"]:
        environments = client.within(None).environments.each(limit=PAGE_LIMIT)
        if client.environment is None:
            return await first(environments, limit + 1)
        return await first(
            (item async for item in environments if item.id == client.environment), 1
        )

    environments = call_api(target, fetch)
    print_items(
        environments, COLUMNS, as_json=as_json, empty="There are no such environments.", limit=limit
    )


@environment.command()
@click.argument("environment_id", metavar="[ID]", required=False)
@click.option("--name", help="A name for people. Default: the id.")
@as_json_option
@with_target
def create(target: Target, environment_id: str | None, name: str | None, as_json: bool) -> None:
    """Create an environment, with its own webhooks, events and tokens.

    ID is what producers name, such as env_acme. Without it, one is chosen.
    """
    name = name or environment_id
    if name is None:
        raise click.UsageError("Give an ID or a --name.")
    made = call_api(
        target, lambda client: client.within(None).environments.create(name, id=environment_id)
    )
    click.echo(json.dumps(made) if as_json else escape_controls(f"{made.id}  {made.name}"))


@environment.command()
@click.argument("environment_id", metavar="ID")
@click.argument("name")
@as_json_option
@with_target
def rename(target: Target, environment_id: str, name: str, as_json: bool) -> None:
    """Rename an environment. Its ID, which producers name, stays."""
    made = call_api(
        target, lambda client: client.within(None).environments.rename(environment_id, name)
    )
    click.echo(json.dumps(made) if as_json else escape_controls(f"{made.id}  {made.name}"))


def _state(item: "Resource") -> str:
    if item.paused_at:
        return "paused"
    return "all paused" if item.all_paused_at else "sending"
