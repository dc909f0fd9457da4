"""The target of a command: the API if its address is given, else the database."""

import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import update_wrapper
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

import click

from dispatcher.cli.errors import Misuse

if TYPE_CHECKING:
    from dispatcher.client.methods import AsyncApi

P = ParamSpec("P")
T = TypeVar("T")

TOKEN = "DISPATCHER_API_TOKEN"  # noqa: S105 - the name of the variable
LONGEST_TOKEN = 4096
"""Bytes that are read of a token file, so that a wrong path cannot fill the memory."""


@dataclass(frozen=True, slots=True)
class Place:
    """The target that the options name.

    `url` is None for the configured database. `environment` is None if the options name none.
    """

    config_file: Path | None
    url: str | None
    token_file: Path | None
    environment: str | None


def placed(command: Callable[Concatenate[Place, P], None]) -> Callable[..., None]:
    """Add the options for the target to a command. Pass the target as its first argument."""

    def with_place(
        config_file: Path | None,
        api: str | None,
        token_file: Path | None,
        environment: str | None,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        command(Place(config_file, api or None, token_file, environment), *args, **kwargs)

    update_wrapper(with_place, command)
    decorated: Callable[..., None] = click.pass_obj(with_place)
    for option in _OPTIONS:
        decorated = option(decorated)
    return decorated


_OPTIONS = (
    click.option(
        "--token-file",
        type=click.Path(path_type=Path),
        metavar="PATH",
        envvar="DISPATCHER_API_TOKEN_FILE",
        help="The token is in this file instead, which nobody else may read.",
    ),
    click.option(
        "--api",
        metavar="URL",
        envvar="DISPATCHER_API_URL",
        show_envvar=True,
        help="Ask the API there instead of the database; the token is in $DISPATCHER_API_TOKEN.",
    ),
    click.option("--environment", metavar="ID", help="The environment that is meant."),
)


def ask(place: Place, wish: "Callable[[AsyncApi], Awaitable[T]]") -> T:
    """Run `wish` with a client of the API or of the database. Return its result."""
    import asyncio

    if place.url is not None:
        return asyncio.run(_over_the_api(place, place.url, wish))
    from dispatcher.cli import database
    from dispatcher.cli.in_process_client import opened
    from dispatcher.config.loading import load

    visited, config = database.find(load(place.config_file))

    async def on_the_database() -> T:
        async with opened(config, visited, place.environment) as client:
            return await wish(client)

    return asyncio.run(on_the_database())


async def _over_the_api(place: Place, url: str, wish: "Callable[[AsyncApi], Awaitable[T]]") -> T:
    """Run `wish` with a client of the API. Raise Misuse if the URL or the token is unusable."""
    from dispatcher.client import AsyncClient

    token = _token(place.token_file)
    try:
        client = AsyncClient(url, token, environment=place.environment)
    except ValueError as error:
        raise Misuse(str(error)) from None
    async with client:
        return await wish(client)


def _token(file: Path | None) -> str:
    """Return the token from the file, else from the environment.

    Raise Misuse if there is none, or if other users may read the file.
    """
    import os

    if file is None:
        if not os.environ.get(TOKEN):
            raise Misuse(f"the API wants a token: in ${TOKEN}, or in a file named by --token-file")
        return os.environ[TOKEN]
    with file.open("rb") as opened:
        mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
        if mode & 0o077:
            raise Misuse(f"{file} is open to others (mode {mode:04o}): chmod 600 it")
        return opened.read(LONGEST_TOKEN).decode("ascii", errors="replace").strip()


async def everywhere(client: "AsyncApi") -> "AsyncIterator[AsyncApi]":
    """Yield a client for the named environment, or one for each visible environment."""
    from dispatcher.client import ForbiddenError

    if client.environment is not None:
        yield client
        return
    try:
        ids = [each.id async for each in client.environments.each(limit=100)]
    except ForbiddenError:  # the token may not list environments: use its own
        yield client
        return
    for id_ in reversed(ids):
        yield client.within(id_)
