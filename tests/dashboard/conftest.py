"""A whole daemon with its dashboard, and a visitor who signs in with a token and follows links."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from tests.api.conftest import (
    Api,
    Client,
    api,
    ask,
    cipher,
    daemons,
    database,
    home,
    other_environment,
    other_home,
    receiver,
    standing,
    standing_dsn,
    story,
)
from tests.dashboard.markup import Form, Markup

__all__ = [
    "api",
    "ask",
    "cipher",
    "daemons",
    "database",
    "home",
    "other_environment",
    "other_home",
    "receiver",
    "standing",
    "standing_dsn",
    "story",
]


class Page:
    """A page as a browser got it."""

    def __init__(self, response: aiohttp.ClientResponse, text: str) -> None:
        self.status = response.status
        self.headers = response.headers
        self.path = response.url.path_qs
        self.text = text

    @property
    def below(self) -> str:
        """The path below its environment."""
        return re.sub(r"^/e/[^/]+", "", self.path)

    @property
    def markup(self) -> Markup:
        return Markup(self.text)

    @property
    def csrf(self) -> str:
        match = re.search(r'name="csrf" value="([0-9a-f]{128})"', self.text)
        assert match is not None, self.text
        return match[1]


class Visitor:
    """A browser with cookies. `get` follows redirects, `post` sends the session's CSRF token.

    A path is below `environment`, unless it names an environment itself or belongs to none.
    """

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session
        self._csrf = ""
        self.environment = "env_default"

    def place(self, path: str) -> str:
        """The whole path."""
        if path.startswith(("/e/", "/sign-", "/static/")):
            return path
        return f"/e/{self.environment}{path}"

    async def sign_in(self, token: str) -> Page:
        async with self.session.post("/sign-in", data={"token": token}) as response:
            page = Page(response, await response.text())
        if page.path.startswith("/e/"):
            self.environment = page.path.split("/")[2]
            self._csrf = page.csrf
        return page

    async def get(self, path: str, **headers: str) -> Page:
        """`HX_Request` names the header HX-Request."""
        return await self.follow(self.place(path), **headers)

    async def follow(self, path: str, **headers: str) -> Page:
        """Just this path, as a link leads to it."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.get(path, headers=named) as response:
            return Page(response, await response.text())

    async def post(
        self,
        path: str,
        fields: dict[str, str | list[str]] | None = None,
        *,
        csrf: str | None = None,
        meant: str | None = None,
    ) -> Page:
        """Send a form with the session's CSRF token, or with `csrf` in its place.

        A list is a field that comes several times. `meant` is the environment that the form was
        made for.
        """
        path = self.place(path)
        if path.startswith("/e/"):
            fields = {"environment": meant or path.split("/")[2], **(fields or {})}
        return await self.send(path, fields, csrf=csrf)

    async def submit(self, form: Form, **typed: str) -> Page:
        """A form as its page made it, with these fields typed into it."""
        fields = {name: value for name, value in form.fields.items() if name != "csrf"}
        return await self.send(form.action, {**fields, **typed}, csrf=str(form.fields["csrf"]))

    async def send(
        self,
        path: str,
        fields: dict[str, str | list[str]] | None = None,
        *,
        csrf: str | None = None,
        **headers: str,
    ) -> Page:
        """Just these fields, and the CSRF token."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        form = aiohttp.FormData()
        form.add_field("csrf", self._csrf if csrf is None else csrf)
        for name, value in (fields or {}).items():
            for text in value if isinstance(value, list) else [value]:
                form.add_field(name, text)
        async with self.session.post(path, data=form, headers=named) as response:
            return Page(response, await response.text())


@asynccontextmanager
async def browser_of(api: Api) -> AsyncIterator[aiohttp.ClientSession]:
    """Yield an HTTP client with cookies of its own, as a browser has them."""
    jar = aiohttp.CookieJar(unsafe=True)  # cookies for an address without a name
    async with aiohttp.ClientSession(api.address, cookie_jar=jar) as opened:
        yield opened


# ── one daemon for a whole module, and an environment for each test ──────────────────────────────


@pytest.fixture
async def admin(standing: Api, home: str) -> Client:
    """An administrator of the test's environment."""
    return await standing.client("admin", home)


@pytest.fixture
async def session(standing: Api) -> AsyncIterator[aiohttp.ClientSession]:
    async with browser_of(standing) as opened:
        yield opened


@pytest.fixture
async def stranger(session: aiohttp.ClientSession) -> Visitor:
    """Somebody who has not signed in."""
    return Visitor(session)


@pytest.fixture
async def visitor(standing: Api, stranger: Visitor, home: str) -> Visitor:
    """An administrator of all environments, in that of the test."""
    await stranger.sign_in(await standing.token())
    stranger.environment = home
    return stranger


# ── a daemon for one test, which changes what the tests of its module would see ──────────────────


@pytest.fixture
async def own_admin(api: Api) -> Client:
    """An administrator of all environments."""
    return await api.client()


@pytest.fixture
async def own_stranger(api: Api) -> AsyncIterator[Visitor]:
    """Somebody who has not signed in."""
    async with browser_of(api) as opened:
        yield Visitor(opened)


@pytest.fixture
async def own_visitor(api: Api, own_stranger: Visitor) -> Visitor:
    """An administrator of all environments."""
    await own_stranger.sign_in(await api.token())
    return own_stranger
