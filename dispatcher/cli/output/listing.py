"""Listings over one environment or all, and objects whose environment is not named."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import click

from dispatcher.cli.output.tables import Column, print_table
from dispatcher.cli.target import Target, call_api, each_environment
from dispatcher.core import ids

if TYPE_CHECKING:
    from dispatcher.client import Resource
    from dispatcher.client.methods import AsyncApi

T = TypeVar("T")

SHOWN_BY_DEFAULT = 20
"""How many items are listed without --limit."""
PAGE_LIMIT = 100
"""The most items of one request."""
SEARCHED_LIMIT = 100
"""In how many environments an id is looked for over the API, which has no search by id alone."""

limit_option = click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=SHOWN_BY_DEFAULT,
    show_default=True,
    help="The most to list.",
)
as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


async def first(items: "AsyncIterator[Resource]", limit: int) -> "list[Resource]":
    """Return at most `limit` items of a listing."""
    taken: list[Resource] = []
    async for item in items:
        taken.append(item)
        if len(taken) == limit:
            break
    return taken


def call_newest(
    target: Target, list_items: "Callable[[AsyncApi, int], AsyncIterator[Resource]]", limit: int
) -> "list[Resource]":
    """Return the newest items of the named environment, or of all environments, and one more.

    `list_items` returns the listing of one environment, in requests of as many items as the number
    says. By the one more than `limit`, `print_items` knows that there are others.
    """
    size = min(limit + 1, PAGE_LIMIT)
    return call_api(
        target, lambda client: newest(client, lambda api: list_items(api, size), limit + 1)
    )


def call_about_one(target: Target, request: "Callable[[AsyncApi], Awaitable[T]]") -> T:
    """Return the result of a request about one object. See in_its_environment."""
    return call_api(target, lambda client: in_its_environment(client, request))


async def newest(
    client: "AsyncApi", list_items: "Callable[[AsyncApi], AsyncIterator[Resource]]", limit: int
) -> "list[Resource]":
    """Return the newest items of the named environment, or of all environments.

    `list_items` returns the listing of one environment. The ids of its items are a prefix and a
    number that grows with time.
    """
    items: list[Resource] = []
    async for api in each_environment(client):
        items = sorted(items + await first(list_items(api), limit), key=_number, reverse=True)[
            :limit
        ]
    return items


def _number(item: "Resource") -> int:
    return ids.number_of(str(item.id))


async def in_its_environment(
    client: "AsyncApi", request: "Callable[[AsyncApi], Awaitable[T]]"
) -> T:
    """Return the result of a request about one object, wherever that is.

    If no environment is named, try others as well, because people have only the id. Raise
    NotFoundError if the object is in none of the first SEARCHED_LIMIT.
    """
    from dispatcher.client import NotFoundError

    try:
        return await request(client)
    except NotFoundError:
        if client.environment is not None:
            raise
        tried = 0
        async for api in each_environment(client):
            tried += 1
            if tried > SEARCHED_LIMIT or api is client:
                break
            try:
                return await request(api)
            except NotFoundError:
                continue
        raise


ENVIRONMENT = Column("ENVIRONMENT", lambda item: item.environment_id)


def print_item(item: "Resource", show: "Callable[[Resource], None]", *, as_json: bool) -> None:
    """Print one object: by `show` for people, or as JSON."""
    if as_json:
        click.echo(json.dumps(item))
    else:
        show(item)


def print_items(
    items: "Sequence[Resource]",
    columns: Sequence[Column],
    *,
    as_json: bool,
    empty: str,
    limit: int | None = None,
) -> None:
    """Print a listing as a table or as JSON. Without items, print `empty` on standard error.

    Items of several environments have a column that says which. At most `limit` items are printed;
    if there are more, standard error says so after a table.
    """
    is_cut = limit is not None and len(items) > limit
    items = items[:limit]
    if as_json:
        click.echo(json.dumps(items))
        return
    several = len({item.get("environmentId") for item in items}) > 1
    print_table([*columns, ENVIRONMENT] if several else columns, items)
    if not items:
        click.echo(empty, err=True)
    elif is_cut:
        click.echo(
            f"Only the newest {len(items):,} are shown. For more: --limit {10 * len(items)}.",
            err=True,
        )
