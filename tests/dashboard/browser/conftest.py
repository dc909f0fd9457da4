"""A browser for the whole run; a daemon for each module; an environment and a page for each test."""

from collections.abc import AsyncIterator
from secrets import token_hex

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.api.conftest import Api, database, receiver, standing, standing_dsn
from tests.conftest import Connection
from tests.dashboard.browser.browsing import Browsing, Place, found

__all__ = ["database", "receiver", "standing", "standing_dsn"]

PATIENCE = 10_000


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    path = found()
    if path is None:
        pytest.skip("no browser is found: apt install chromium")
    expect.set_options(timeout=PATIENCE)
    async with async_playwright() as playwright:
        # Root has no sandbox, and what is opened here is our own.
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        await browser.close()


@pytest.fixture
async def browsing(chromium: Browser, standing: Api) -> AsyncIterator[Browsing]:
    """Ends with a failure if anybody came across what nobody should."""
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
    return Place(name, token, api.nobody(token))


@pytest.fixture
async def page(browsing: Browsing, place: Place) -> Page:
    """Of the administrator of the test's environment, signed in by a link."""
    return await browsing.open(place.token)
