"""The overview keeps telling how things are, in figures, charts and a table."""

import re

from playwright.async_api import Page, expect

from tests.api.conftest import Api
from tests.dashboard.browser.browsing import Browsing, Place
from tests.receivers import Receiver


async def test_figures_and_charts_come_up_by_themselves(
    page: Page, place: Place, receiver: Receiver
) -> None:
    await place.webhook(receiver.url)
    await page.goto("/")
    await expect(page.get_by_role("heading", name=re.compile("Nothing was sent"))).to_be_visible()
    await place.emit("user.created", {})
    await receiver.wait_for(1)
    await expect(page.locator(".figure", has_text="24 hours")).to_contain_text("100 %")
    await expect(page.locator("#chart-speed canvas")).to_be_visible()
    await page.get_by_role("button", name="Theme").click()
    await expect(page.locator("#chart-speed canvas")).to_be_visible()
    await page.get_by_role("link", name="Show as a table").click()
    await expect(page.get_by_role("region", name=re.compile("as a table"))).to_be_visible()


async def test_sending_is_paused_and_resumed(page: Page, place: Place, receiver: Receiver) -> None:
    await place.webhook(receiver.url)
    await page.goto("/")
    await page.get_by_role("button", name="Pause sending").click()
    await page.get_by_role("dialog").get_by_role("button", name="Pause sending").click()
    await expect(page.locator("#paused")).to_be_visible()
    await place.emit("user.created", {})
    await page.get_by_role("button", name=re.compile(r"^Resume .+ \(env_")).click()
    await expect(page.locator("#paused")).to_have_count(0)
    await receiver.wait_for(1)


async def test_an_administrator_of_all_environments_sees_the_daemons(
    browsing: Browsing, standing: Api
) -> None:
    page = await browsing.open(await standing.token())
    await page.goto("/")
    await expect(page.get_by_role("region", name="Daemons").locator("tbody tr")).to_have_count(1)
    await expect(page.get_by_role("region", name="Daemons").get_by_text("active")).to_be_visible()
