"""Commands whose API is behind a proxy, below a prefix that the proxy removes or keeps."""

from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.end_to_end.shell import TOKEN, Shell
from tests.end_to_end.stories import Daemons

Mapped = Callable[[str], str | None]
"""The path at the daemon of a path at the proxy, None if the proxy does not know it."""


def removed(path: str) -> str | None:
    return path.removeprefix("/api") if path.startswith("/api/") else None


def kept(path: str) -> str | None:
    return path if path.startswith("/api/") else None


def elsewhere(path: str) -> str | None:
    return path.removeprefix("/hooks") if path.startswith("/hooks/") else None


@pytest.fixture
async def admin(daemons: Daemons, quiet: None) -> str:
    return (await daemons.start(secrets={"admin_token": TOKEN})).admin_address


@pytest.fixture
async def proxy(admin: str, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """The address of a proxy that maps paths by the parameter."""
    mapped: Mapped = request.param

    async def forward(incoming: web.Request) -> web.Response:
        path = mapped(incoming.path)
        if path is None:
            return web.Response(status=404, text="not here")
        headers = {"Authorization": incoming.headers["Authorization"]}
        async with (
            aiohttp.ClientSession() as session,
            session.get(
                admin + path, params=incoming.query, headers=headers, allow_redirects=False
            ) as answer,
        ):
            body, kind = await answer.read(), answer.content_type
            return web.Response(status=answer.status, body=body, content_type=kind)

    app = web.Application()
    app.router.add_get("/{path:.*}", forward)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


@pytest.mark.long
@pytest.mark.parametrize(
    ("proxy", "prefix"),
    [
        (removed, "/api"),
        (removed, "/api/"),
        (removed, "/api/api"),
        (kept, ""),
        (kept, "/api"),
        (elsewhere, "/hooks"),
        (elsewhere, "/hooks/api"),
    ],
    indirect=["proxy"],
)
async def test_the_api_is_found_by_the_address_of_the_daemon_or_of_the_api(
    dispatcher: Shell, proxy: str, prefix: str
) -> None:
    over = dispatcher.setting(api_url=proxy + prefix, api_token=TOKEN)
    listed = await over("webhook", "list")
    assert (listed.code, listed.out, listed.err) == (0, "", "There are no webhooks.\n")


@pytest.mark.parametrize("proxy", [elsewhere], indirect=True)
async def test_an_address_without_an_api_is_reported(dispatcher: Shell, proxy: str) -> None:
    over = dispatcher.setting(api_url=f"{proxy}/api", api_token=TOKEN)
    listed = await over("webhook", "list")
    assert (listed.code, listed.out) == (1, "")
    assert "404 is not one of Dispatcher's API" in listed.err
