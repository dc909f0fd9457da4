"""The target of a command: the API if its address is given, else the database."""

import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import update_wrapper
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

import click

from dispatcher.cli.errors import CommandError, MisuseError, explaining
from dispatcher.core.environment_ids import ALL_ENVIRONMENTS, is_environment_id

if TYPE_CHECKING:
    from dispatcher.client.methods import AsyncApi

P = ParamSpec("P")
T = TypeVar("T")

TOKEN_VARIABLE = "DISPATCHER_API_TOKEN"  # noqa: S105 - the name of the variable
TOKEN_LIMIT_BYTES = 4096
"""How much is read of a token file, so that a wrong path cannot fill the memory."""
ENVIRONMENTS_LIMIT = 1000
"""Most environments among which a name is looked for. With more, give an id."""
ID_PREFIX = "env_"
"""A text that begins so is taken for an id, and is not looked up."""


@dataclass(frozen=True, slots=True)
class Target:
    """The target that the options name.

    `url` is None for the configured database. `environment` is None if the options name none.
    """

    config_file: Path | None
    url: str | None
    token_file: Path | None
    environment: str | None


def with_target(command: Callable[Concatenate[Target, P], None]) -> Callable[..., None]:
    """Add the options for the target to a command. Pass the target as its first argument."""

    def with_target_argument(
        config_file: Path | None,
        api: str | None,
        token_file: Path | None,
        environment: str | None,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        target = Target(config_file, api or None, token_file, environment)
        with explaining():
            command(target, *args, **kwargs)

    update_wrapper(with_target_argument, command)
    decorated: Callable[..., None] = click.pass_obj(with_target_argument)
    for option in _OPTIONS:
        decorated = option(decorated)
    return decorated


_OPTIONS = (
    click.option(
        "--token-file",
        type=click.Path(path_type=Path),
        metavar="PATH",
        envvar="DISPATCHER_API_TOKEN_FILE",
        help="Read the token from this file. Only its owner may have access to it.",
    ),
    click.option(
        "--api",
        metavar="URL",
        envvar="DISPATCHER_API_URL",
        show_envvar=True,
        help="Use the API at this address instead of the database. The token is in"
        " $DISPATCHER_API_TOKEN.",
    ),
    click.option(
        "--environment",
        metavar="ID|NAME",
        help="The environment to work on, by its id or its name.",
    ),
)


def call_api(
    target: Target, request: "Callable[[AsyncApi], Awaitable[T]]", *, needs_daemon: bool = False
) -> T:
    """Run `request` with a client of the API or of the database. Return its result.

    The client's `environment` is an id, also if `--environment` is a name. With `needs_daemon`, say
    on standard error if no daemon runs on the database. An API has one, which answers.
    """
    import asyncio

    async def ask(client: "AsyncApi") -> "T":
        if client.environment is not None:
            client = client.within(await _environment_id(client, client.environment))
        return await request(client)

    if target.url is not None:
        return asyncio.run(_over_the_api(target, target.url, ask))
    from dispatcher.cli import database
    from dispatcher.cli.in_process_client import open_client
    from dispatcher.config.loading import load

    target_database, config = database.find(load(target.config_file))

    async def on_the_database() -> T:
        async with open_client(config, target_database, target.environment) as client:
            if needs_daemon:
                await database.warn_without_daemon(target_database, config)
            return await ask(client)

    return asyncio.run(on_the_database())


async def _environment_id(client: "AsyncApi", text: str) -> str:
    """Return the id of the environment that the text names, by its id or its name.

    A text in the form of an id that is not found is returned as it is: the request fails if there
    is no such environment. Raise CommandError for a name that no environment has, and MisuseError
    for one that several have.
    """
    from dispatcher.client import ForbiddenError

    if text == ALL_ENVIRONMENTS or text.startswith(ID_PREFIX):
        return text
    try:
        ids = await _named(client, text)
    except ForbiddenError:  # the token may not list environments, so it has one of its own
        return text
    if text in ids or (not ids and is_environment_id(text)):
        return text
    if not ids:
        raise CommandError("There is no environment of this name. Give the id of one.")
    if len(ids) > 1:
        raise MisuseError(
            f"{len(ids)} environments have this name. Give an id: {', '.join(ids[:5])}"
        )
    return ids[0]


async def _named(client: "AsyncApi", text: str) -> list[str]:
    """Return the ids of environments with this id or name.

    Raise CommandError if there are more environments than can be looked at for a name.
    """
    ids, count = [], 0
    async for environment in client.within(None).environments.each(limit=100):
        count += 1
        if count > ENVIRONMENTS_LIMIT:
            if is_environment_id(text):
                return []
            raise CommandError(
                "There are too many environments to look for a name. Give the id of one."
            )
        if text in (environment.id, environment.name):
            ids.append(str(environment.id))
    return ids


async def _over_the_api(
    target: Target, url: str, request: "Callable[[AsyncApi], Awaitable[T]]"
) -> T:
    """Run `request` with a client of the API.

    Raise MisuseError if the URL or the token is unusable.
    """
    from dispatcher.client import AsyncClient

    token, address = _token(target.token_file), url.rstrip("/")
    try:
        if address.endswith("/api"):
            # The address of the API, or of a daemon behind a proxy that removes this prefix.
            async with AsyncClient(address.removesuffix("/api"), token) as client:
                if await _is_api(client):
                    address = address.removesuffix("/api")
        client = AsyncClient(address, token, environment=target.environment)
    except ValueError as error:
        raise MisuseError(str(error)) from None
    async with client:
        return await request(client)


async def _is_api(client: "AsyncApi") -> bool:
    """Return False if the answer to a request is not one of the API.

    Without an answer, return True: the next request fails alike, and is reported.
    """
    from dispatcher.client import ApiError, ClientError, InvalidError, NotFoundError

    try:
        await client.pauses.get()
    except (NotFoundError, InvalidError):  # no such path, or none that is read
        return False
    except ApiError as error:
        return error.status >= 500 or error.code != f"http_{error.status}"
    except ClientError:
        return True
    return True


def _token(file: Path | None) -> str:
    """Return the token from the file, else from the environment.

    Raise MisuseError if there is none, or if other users may read the file.
    """
    import os

    if file is None:
        if not os.environ.get(TOKEN_VARIABLE):
            raise MisuseError(
                f"The API needs a token. Set ${TOKEN_VARIABLE}, or name a file with --token-file."
            )
        return os.environ[TOKEN_VARIABLE]
    with file.open("rb") as opened:
        mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
        if mode & 0o077:
            raise MisuseError(
                f"Other users can read {file} (mode {mode:04o}). Run chmod 600 {file}."
            )
        return opened.read(TOKEN_LIMIT_BYTES).decode("ascii", errors="replace").strip()


async def environment_of(client: "AsyncApi") -> str:
    """Return the id of the environment that the calls of a client are about.

    If the client names none, ask the API: it is the environment of the token, or env_default.
    """
    return client.environment or str((await client.pauses.get()).environment_id)


async def each_environment(client: "AsyncApi") -> "AsyncIterator[AsyncApi]":
    """Yield a client for the named environment, or one for each visible environment."""
    from dispatcher.client import ForbiddenError

    if client.environment is not None:
        yield client
        return
    try:
        ids = [environment.id async for environment in client.environments.each(limit=100)]
    except ForbiddenError:  # the token may not list environments: use its own
        yield client
        return
    for id_ in reversed(ids):
        yield client.within(id_)
