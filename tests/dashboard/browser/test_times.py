"""Exact times in UTC or in local time, and texts that are copied."""

import re

import pytest
from playwright.async_api import Page, expect

from tests.dashboard.browser.browsing import Browsing, Place
from tests.receivers import Receiver

UTC = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$")
NEPAL = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+05:45$")


async def test_local_time_is_chosen_remembered_and_kept_over_live_updates(
    browsing: Browsing, place: Place, receiver: Receiver
) -> None:
    webhook = await place.webhook(receiver.url)
    await place.emit("user.created", {})
    await receiver.wait_for(1)
    page = await browsing.open(place.token, timezone_id="Asia/Kathmandu")
    await page.goto(f"/webhooks/{webhook['id']}")
    exact = page.locator("#rows time .exact")
    await expect(exact.first).to_have_text(UTC)
    switch = page.get_by_role("button", name="Local time")
    await expect(switch).to_have_attribute("aria-pressed", "false")
    await switch.click()
    await expect(exact.first).to_have_text(NEPAL)
    await expect(switch).to_have_attribute("aria-pressed", "true")
    await page.reload()
    await expect(exact.first).to_have_text(NEPAL)
    await place.emit("user.created", {})
    await page.get_by_role("link", name=re.compile("1 new, show")).click()
    await expect(page.locator("tbody tr")).to_have_count(2)
    await expect(exact.first).to_have_text(NEPAL)
    await page.get_by_role("button", name="Local time").click()
    await expect(exact.first).to_have_text(UTC)


async def test_the_time_of_the_last_update_is_shown_in_the_chosen_clock(
    browsing: Browsing, place: Place
) -> None:
    page = await browsing.open(place.token, timezone_id="Asia/Kathmandu")
    await page.goto(f"/e/{place.environment_id}/")
    label, verdict = page.locator("#updates-at"), page.locator("#verdict time .clock")
    await expect(label).to_have_text(re.compile(r"^Updated \d\d:\d\d:\d\d UTC$"))
    await expect(verdict).to_have_text(re.compile(r"^\d\d:\d\d:\d\d UTC$"))
    await page.get_by_role("button", name="Local time").click()
    await expect(label).to_have_text(re.compile(r"^Updated \d\d:\d\d:\d\d \+05:45$"))
    await expect(verdict).to_have_text(re.compile(r"^\d\d:\d\d:\d\d \+05:45$"))
    await page.get_by_role("button", name="Pause updates").click()
    await expect(label).to_have_text(re.compile(r"^Updates are paused, as of .* \+05:45$"))


async def test_without_javascript_times_are_in_utc_and_nothing_offers_to_copy(
    browsing: Browsing, place: Place, receiver: Receiver
) -> None:
    webhook = await place.webhook(receiver.url)
    page = await browsing.open(place.token, java_script_enabled=False)
    await place.emit("user.created", {})
    await receiver.wait_for(1)
    await page.goto(f"/webhooks/{webhook['id']}")
    await expect(page.locator("#rows time .exact").first).to_have_text(UTC)
    await expect(page.get_by_role("button", name="Local time")).to_be_hidden()
    await page.get_by_role("link", name=re.compile("user.created")).click()
    await expect(page.get_by_role("button", name="Copy", exact=True)).to_have_count(0)
    await expect(page.get_by_role("button", name=re.compile("Copy the"))).to_have_count(0)


@pytest.mark.parametrize("has_clipboard", [True, False])
async def test_an_id_and_a_url_are_copied_with_a_word_about_it(
    browsing: Browsing, place: Place, receiver: Receiver, has_clipboard: bool
) -> None:
    """Over plain HTTP, except on the same machine, a page has no clipboard of its own."""
    webhook = await place.webhook(f"{receiver.url}?q='$(id)")
    page = await browsing.open(place.token)
    if not has_clipboard:
        await page.add_init_script(
            "Object.defineProperty(navigator, 'clipboard', { value: undefined })"
        )
    await page.goto(f"/webhooks/{webhook['id']}")
    await page.get_by_role("button", name="Copy the URL").click()
    await expect(page.get_by_role("button", name="Copy the URL")).to_have_text("Copied")
    await expect(page.get_by_role("status").last).to_have_text("Copied: the URL")
    assert await pasted(page) == f"{receiver.url}?q='$(id)"


async def pasted(page: Page) -> str:
    """Return the text of the clipboard, as a field gets it."""
    await page.locator("#q").fill("")
    await page.locator("#q").press("Control+v")
    return await page.locator("#q").input_value()
