"""What pages look like, as far as it can be measured: rows, links, touch targets and the print sheet."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, expect

from tests.api.conftest import Api
from tests.conftest import Connection
from tests.dashboard.browser.browsing import NARROW, Browsing, Place
from tests.dashboard.browser.conftest import found_place
from tests.dashboard.scene import Director, Scene
from tests.receivers import Receiver

ROW = 44
"""Pixels that a finger hits."""
HEIGHTS = (
    "elements => elements.map((element) => Math.round(element.getBoundingClientRect().height))"
)
DECORATION = "element => getComputedStyle(element).textDecorationLine"
LISTS = ("webhooks", "deliveries", "webhook", "events", "event-types", "quarantine", "tokens")


@pytest.fixture(scope="module")
async def set_place(standing: Api, database: Connection) -> Place:
    return await found_place(standing, database)


@pytest.fixture(scope="module")
async def scene(set_place: Place) -> AsyncIterator[Scene]:
    async with Receiver() as well, Receiver() as badly:
        yield await Director(set_place.ask, set_place.environment_id, well, badly).set()


async def smallest(page: Page, selector: str) -> int:
    heights: list[int] = await page.locator(selector).evaluate_all(HEIGHTS)
    assert heights, selector
    return min(heights)


async def test_rows_are_as_high_as_a_finger_is_wide(
    browsing: Browsing, set_place: Place, scene: Scene
) -> None:
    page = await browsing.open(set_place.token)
    for name in LISTS:
        await page.goto(scene.pages[name])
        assert await smallest(page, "main tbody tr") >= ROW, name
    await page.set_viewport_size(NARROW)
    await page.goto(scene.pages["deliveries"])
    await page.get_by_text("Menu").click()
    for selector in ("#sidebar li a", ".top summary", ".filters input", ".filters button"):
        assert await smallest(page, selector) >= ROW, selector
    await page.goto(scene.pages["webhooks"])
    assert await smallest(page, "table.cards td:first-child > a") >= ROW


async def test_links_of_tables_are_underlined_where_one_points_at_them(
    browsing: Browsing, set_place: Place, scene: Scene
) -> None:
    page = await browsing.open(set_place.token)
    for name in LISTS[:-1]:
        await page.goto(scene.pages[name])
        link = page.locator("main tbody td a:not(.button)").first
        assert await link.evaluate(DECORATION) == "none", name
        await link.hover()
        await expect(link).to_have_css("text-decoration-line", "underline")
        await page.mouse.move(0, 0)
        await link.focus()
        await page.keyboard.press("Shift+Tab")
        await page.keyboard.press("Tab")
        await expect(link).to_be_focused()
        assert await link.evaluate(DECORATION) == "underline", name


async def test_a_state_is_a_word_and_not_a_colour_alone(
    browsing: Browsing, set_place: Place, scene: Scene
) -> None:
    page = await browsing.open(set_place.token)
    for name in ("webhooks", "deliveries", "webhook-recoveries"):
        await page.goto(scene.pages[name])
        states = await page.locator("main .state").all_inner_texts()
        assert states, name
        assert all(text.strip().isalpha() for text in states), name


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_paper_shows_the_page_alone_black_on_white_and_whole(
    browsing: Browsing, set_place: Place, scene: Scene, theme: str
) -> None:
    url = f"https://support.example.com/{'hooks/' * 30}users"
    await set_place.ask("PATCH", f"/api/webhooks/{scene.webhooks['Legacy CRM']}", {"url": url})
    page = await browsing.open(set_place.token)
    await page.goto(scene.pages["webhooks"])
    await page.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
    await page.emulate_media(media="print")
    for selector in ("#sidebar", "#box", ".button"):
        await expect(page.locator(selector).first).to_be_hidden()
    body = page.locator("body")
    await expect(body).to_have_css("color", "rgb(0, 0, 0)")
    await expect(body).to_have_css("background-color", "rgb(255, 255, 255)")
    address = page.locator("td", has_text=url)
    assert await address.evaluate("cell => cell.scrollWidth <= cell.clientWidth")
    await page.goto(scene.pages["delivery-failed"])
    await page.emulate_media(media="print")
    payload = page.get_by_role("region", name="Payload").locator("pre").first
    assert await payload.evaluate("code => code.scrollHeight <= code.clientHeight")
    await expect(page.locator(".attempt .sides").last).to_be_visible()
