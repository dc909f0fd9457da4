"""What axe finds on every page, in both themes; and that none is wider than its window."""

from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Literal

import pytest
from playwright.async_api import Page, expect

from tests.api.conftest import Api
from tests.conftest import Connection
from tests.dashboard.browser.browsing import NARROW, VENDOR, WIDE, Browsing, Place, protruding
from tests.dashboard.browser.conftest import found_place
from tests.dashboard.scene import Director, Scene
from tests.receivers import Receiver

AXE = (VENDOR / "axe-4.14.1.min.js").read_bytes()
AXE_SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
COLOURS = ("color-contrast", "link-in-text-block")
LAYOUT = ("target-size", "scrollable-region-focusable", "meta-viewport")
RUN = """async (options) => (await axe.run(document, options)).violations.flatMap((violation) => violation.nodes.map(
    (node) => `${violation.id}: ${node.target.join(' ')}: ${node.failureSummary}`))"""


@pytest.fixture(scope="module")
async def set_place(standing: Api, database: Connection) -> Place:
    return await found_place(standing, database)


@pytest.fixture(scope="module")
async def scene(set_place: Place) -> AsyncIterator[Scene]:
    async with Receiver() as well, Receiver() as badly:
        yield await Director(set_place.ask, set_place.environment_id, well, badly).set()


async def violations(page: Page, rules: tuple[str, ...] = ()) -> list[str]:
    """Of these rules; of all that axe has if none is named."""
    if not await page.evaluate("() => 'axe' in window"):
        await page.evaluate(AXE.decode())
    problems: list[str] = await page.evaluate(RUN, {"runOnly": list(rules)} if rules else {})
    return problems


def test_the_copy_of_axe_is_the_published_one() -> None:
    assert sha256(AXE).hexdigest() == AXE_SHA256


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_no_page_has_a_fault_nor_is_wider_than_its_window(
    browsing: Browsing, set_place: Place, scene: Scene, theme: Literal["light", "dark"]
) -> None:
    """The rules that a theme cannot change are asked for in one of them."""
    page = await browsing.open(set_place.token, color_scheme=theme)
    faults_by_page: dict[str, object] = {}
    for name, path in scene.pages.items():
        await page.set_viewport_size(WIDE)
        await page.goto(path)
        faults_by_page[name] = await violations(page, () if theme == "light" else COLOURS)
        for width in (320, NARROW["width"], 768, 1024) if theme == "light" else ():
            await page.set_viewport_size({"width": width, "height": 800})
            faults_by_page[f"{name} at {width}"] = await protruding(page)
        await page.set_viewport_size(NARROW)
        faults_by_page[f"{name}, narrow"] = await violations(page, COLOURS + LAYOUT)
    assert {name: faults for name, faults in faults_by_page.items() if faults} == {}


async def test_axe_finds_no_problem_on_pages_without_a_link(
    browsing: Browsing, standing: Api, set_place: Place, scene: Scene
) -> None:
    violations_by_page = {}
    page = await browsing.open()
    await page.goto("/sign-in")
    violations_by_page["sign-in"] = await violations(page)
    page = await browsing.open(await standing.token())
    await page.goto("/")
    violations_by_page["overview of all"] = await violations(page)
    await page.locator("#environment summary").click()
    await expect(page.locator("#environment li", has_text=set_place.environment_id)).to_be_visible()
    violations_by_page["environments to choose"] = await violations(page)
    await page.get_by_role("link", name="Webhooks", exact=True).click()
    await page.goto(f"{page.url.rpartition('/')[0]}/environments")
    violations_by_page["environments"] = await violations(page)
    await page.goto(f"{page.url.rpartition('/')[0]}/audit?all=on")
    violations_by_page["audit of all"] = await violations(page)
    page = await browsing.open(set_place.token)
    browsing.expected |= {404, 422}
    await page.goto("/deliveries/dlv_1_1_1")
    violations_by_page["problem"] = await violations(page)
    await page.goto("/webhooks/new")
    await page.get_by_role("button", name="Create webhook").click()
    await expect(page.get_by_label("URL")).to_have_attribute("aria-invalid", "true")
    violations_by_page["mistakes"] = await violations(page)
    await page.goto(f"/webhooks/{scene.webhooks['Warehouse']}")
    await page.get_by_role("button", name="Delete", exact=True).click()
    violations_by_page["dialog"] = await violations(page)
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Rotate secret").click()
    await page.get_by_role("dialog").get_by_role("button", name="Rotate secret").click()
    await expect(page.locator("#secret")).to_be_visible()
    violations_by_page["secret"] = await violations(page)
    assert {name: violated for name, violated in violations_by_page.items() if violated} == {}


async def test_axe_finds_no_problem_on_pages_of_a_pause_or_a_lost_session(
    browsing: Browsing, set_place: Place
) -> None:
    violations_by_page = {}
    page = await browsing.open(set_place.token)
    browsing.expected.add(401)
    await page.goto("/events/new")
    await page.context.clear_cookies()
    await page.get_by_label("Type").fill("user.created")
    await page.get_by_role("button", name="Emit event").click()
    violations_by_page["signed out"] = await violations(page)
    await page.get_by_label("Token").fill(set_place.token)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("This was not done")
    violations_by_page["send again"] = await violations(page)
    await page.get_by_role("button", name="Send again").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("user.created")
    await set_place.ask("POST", "/api/pause")
    await page.goto("/webhooks")
    await expect(page.locator("#paused")).to_be_visible()
    violations_by_page["paused"] = await violations(page)
    await set_place.ask("POST", "/api/resume")
    assert {name: violated for name, violated in violations_by_page.items() if violated} == {}
