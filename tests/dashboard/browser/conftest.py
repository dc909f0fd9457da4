"""A browser and a daemon for all stories; an environment and a page for each.

Nothing of one environment is seen in another, so the daemon can be everybody's.
"""

from collections.abc import AsyncIterator
from secrets import token_hex

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from dispatcher.encryption.cipher import Cipher
from tests.api.conftest import Api, add_other_environment, receiver, served
from tests.conftest import Connection, Templates, _database, connected, with_database
from tests.dashboard.browser.browsing import SITE, Browsing, Place, found
from tests.end_to_end.shell import KEY
from tests.end_to_end.stories import Daemons

__all__ = ["receiver"]

PATIENCE = 10_000


@pytest.fixture(scope="package")
async def standing_dsn(
    chromium: Browser, server: str, maintenance: Connection, templates: Templates
) -> AsyncIterator[str]:
    """Started after the browser: without a browser, no daemon is needed."""
    async with _database(maintenance, await templates.of_today()) as name:
        yield with_database(server, name)


@pytest.fixture(scope="package")
async def database(standing_dsn: str) -> AsyncIterator[Connection]:
    """The daemon's, seen by a superuser; with a second environment beside the default one."""
    async with connected(standing_dsn) as opened:
        await add_other_environment(opened)
        yield opened


@pytest.fixture(scope="package")
async def standing(standing_dsn: str, database: Connection) -> AsyncIterator[Api]:
    started = Daemons(standing_dsn, Cipher(bytes.fromhex(KEY)))
    async with served(started, standing_dsn) as opened:
        yield opened
    await started.end()


@pytest.fixture(scope="package")
async def chromium() -> AsyncIterator[Browser]:
    path = found()
    if path is None:
        pytest.skip("no browser is found: apt install chromium")
    expect.set_options(timeout=PATIENCE)
    async with async_playwright() as playwright:
        # Root has no sandbox, and what is opened here is our own.
        names = f"--host-resolver-rules=MAP {SITE} 127.0.0.1, MAP *.{SITE} 127.0.0.1"
        browser = await playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", names]
        )
        yield browser
        await browser.close()


@pytest.fixture
async def browsing(chromium: Browser, standing: Api) -> AsyncIterator[Browsing]:
    """Fail at the end if a page logged an error or a request failed."""
    opened = Browsing(chromium, standing)
    yield opened
    await opened.close()
    assert opened.complaints == []


@pytest.fixture
async def place(standing: Api, database: Connection) -> Place:
    return await found_place(standing, database)


async def found_place(api: Api, connection: Connection) -> Place:
    """A new environment."""
    name = f"env_{token_hex(6)}"
    await connection.execute(
        "INSERT INTO dispatcher.environments (id, name) VALUES ($1, 'Of a test')", name
    )
    token = await api.token("admin", name)
    return Place(name, token, api.client_with_token(token))


@pytest.fixture
async def page(browsing: Browsing, place: Place) -> Page:
    """Of the administrator of the test's environment, signed in by a link."""
    return await browsing.open(place.token)
