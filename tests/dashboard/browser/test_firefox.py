"""The main pages in Firefox: without an error, without a fault that axe finds, and alive."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.api.conftest import Api
from tests.conftest import Connection
from tests.dashboard.browser import firefox
from tests.dashboard.browser.browsing import NARROW, PROTRUDING, WIDE, Place
from tests.dashboard.browser.conftest import found_place
from tests.dashboard.browser.firefox import Firefox
from tests.dashboard.browser.test_accessibility import AXE, RUN
from tests.dashboard.scene import Director, Scene
from tests.receivers import Receiver

ESCAPE = "\ue00c"


@pytest.fixture(scope="module")
def path() -> str:
    executable = firefox.found()
    if executable is None:
        pytest.skip("no Firefox is found: apt install firefox-esr")
    return executable


@pytest.fixture(scope="module")
async def set_place(path: str, standing: Api, database: Connection) -> Place:
    """Wanted after Firefox: without one, no daemon is needed."""
    assert path
    return await found_place(standing, database)


@pytest.fixture(scope="module")
async def scene(set_place: Place) -> AsyncIterator[Scene]:
    async with Receiver() as well, Receiver() as badly:
        yield await Director(set_place.ask, set_place.environment_id, well, badly).set()


@pytest.fixture
async def page(
    path: str, standing: Api, set_place: Place, tmp_path: Path
) -> AsyncIterator[Firefox]:
    """Of an administrator, signed in by a link. Fail at the end if the page complained."""
    async with firefox.started(path, tmp_path, standing.address) as opened:
        await opened.goto(standing.daemon.dashboard.login_link(set_place.token))
        yield opened
        assert opened.complaints == []


async def test_no_page_has_a_fault_nor_is_wider_than_its_window(
    page: Firefox, scene: Scene
) -> None:
    faults_by_page: dict[str, object] = {}
    for name, path in scene.pages.items():
        await page.resize(**WIDE)
        await page.goto(path)
        assert await page.evaluate("document.querySelectorAll('h1').length") == 1
        await page.run(AXE.decode())
        faults_by_page[name] = await page.evaluate(f"({RUN})({{}})")
        await page.resize(**NARROW)
        faults_by_page[f"{name}, narrow"] = await page.evaluate(f"({PROTRUDING})()")
    assert {name: faults for name, faults in faults_by_page.items() if faults} == {}


async def test_pages_update_search_and_open_dialogs(page: Firefox, scene: Scene) -> None:
    await page.goto(scene.pages["overview"])
    await page.until("document.querySelector('#chart-speed canvas')")
    expression = "document.querySelector('#verdict').innerText"
    before = await page.evaluate(expression)
    await page.until(f"{expression} !== {json.dumps(before)}")  # it says as of when it is
    await page.press("/")
    await page.until("document.activeElement.id === 'q'")
    await page.press("Search index")
    await page.until("document.querySelector('#box-hits .answer')?.innerText.includes('is active')")

    await page.goto(f"{scene.pages['webhooks']}/{scene.webhooks['Search index']}")
    await page.click("[data-open=delete]")
    await page.until("document.querySelector('dialog#delete').open")
    await page.press(ESCAPE)
    await page.until("!document.querySelector('dialog#delete').open")
