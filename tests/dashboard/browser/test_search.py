"""The one box, the choice of an environment, and a search that goes on, in a browser."""

import re

import pytest
from playwright.async_api import Page, expect

from dispatcher.dashboard.views import deliveries
from dispatcher.store.queries import delivery_search
from tests.api.conftest import Api
from tests.dashboard.browser.browsing import Browsing, Place
from tests.receivers import Receiver

OTHER = "env_other"


@pytest.mark.parametrize("keys", ["/", "Control+k", "Meta+k"])
async def test_keys_lead_to_the_box_and_its_first_hit_answers(
    page: Page, place: Place, receiver: Receiver, keys: str
) -> None:
    await place.webhook(f"{receiver.url}in", name="Initech")
    form = {"type": "order.created", "data": {}, "reference": "ord_894287"}
    await place.ask("POST", "/api/events", form)
    await receiver.wait_for(1)
    await page.goto("/events")
    await page.keyboard.press(keys)
    box = page.get_by_role("searchbox", name="Search everything")
    await expect(box).to_be_focused()
    await page.keyboard.type("ord_894287")
    answer = page.locator("#box-hits .answer")
    await expect(answer).to_contain_text("order.created")
    await expect(answer).to_contain_text("Initech")
    await page.keyboard.press("ArrowDown")
    await expect(answer.get_by_role("link").first).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(page.locator("#box-hits > *")).to_have_count(0)
    await expect(box).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile(r"/search\?q=ord_894287$"))
    await expect(page.locator("#hits .answer")).to_contain_text("Initech")


async def test_a_slash_in_a_field_is_a_slash(page: Page) -> None:
    await page.goto("/events")
    field = page.get_by_label("Type", exact=True)
    await field.focus()
    await page.keyboard.type("a/b")
    await expect(field).to_have_value("a/b")


async def test_the_environment_is_chosen_by_its_name_with_the_keyboard(
    browsing: Browsing, standing: Api
) -> None:
    page = await browsing.open(await standing.token())
    await page.goto("/e/env_default/webhooks")
    await page.locator("#environment summary").click()
    field = page.get_by_role("combobox", name="Go to")
    await expect(field).to_be_focused()
    await field.press_sequentially("other")
    option = page.get_by_role("option").filter(has_text=OTHER)
    await expect(option).to_have_attribute("aria-selected", "true")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile(f"/e/{OTHER}/webhooks$"))


async def test_a_filtered_list_fills_itself(
    page: Page, place: Place, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await place.webhook(receiver.url, name="Hooli")
    await place.emit("rare.one", {})
    for _ in range(9):
        await place.emit("order.paid", {})
    await receiver.wait_for(10)
    monkeypatch.setattr(delivery_search, "PAGE_LIMIT_ROWS", 2)
    monkeypatch.setattr(deliveries, "PAGE_SIZE", 1)
    await page.goto("/deliveries?event=rare.one")
    await expect(page.get_by_role("link", name="rare.one")).to_have_count(1)
    await expect(page.locator("#further")).to_have_count(0)


async def test_a_key_event_without_a_key_raises_no_error(page: Page) -> None:
    await page.goto("/events")
    await page.evaluate("document.body.dispatchEvent(new Event('keydown', {bubbles: true}))")
