"""Deliveries are watched, filtered, sent again and recovered."""

import re
from typing import Any

from playwright.async_api import Page, expect

from tests.dashboard.browser.browsing import Place
from tests.receivers import Answer, Receiver

NEVER: dict[str, Any] = {"retries": 0}
LATER: dict[str, Any] = {"retries": 3, "base": 600, "jitter": 0}


async def test_deliveries_come_up_by_themselves_and_are_filtered(
    page: Page, place: Place, receiver: Receiver
) -> None:
    webhook = await place.webhook(receiver.url, retry=NEVER)
    await page.goto(f"/webhooks/{webhook['id']}")
    await expect(page.get_by_role("heading", name="No deliveries yet")).to_be_visible()
    receiver.answers = [500, 200, 200]
    for number, type_ in enumerate(("user.created", "user.updated", "role.created"), 1):
        await place.emit(type_, {})
        await receiver.wait_for(number)
    rows = page.locator("tbody tr")
    await expect(rows).to_have_count(3)
    await expect(rows.get_by_text("delivered", exact=True)).to_have_count(2)

    await page.get_by_label("Status").select_option("failed")
    await page.get_by_role("button", name="Filter").click()
    await expect(rows).to_have_count(1)
    await expect(rows.first).to_contain_text("500")
    await page.get_by_role("link", name="Clear").click()
    await page.get_by_label("Event type").fill("role.*")
    await page.keyboard.press("Enter")
    await expect(rows).to_have_count(1)
    await page.get_by_label("Until").fill("2000-01-02T00:00")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Nothing found")).to_be_visible()


async def test_a_failed_attempt_is_explained_counted_down_and_retried(
    page: Page, place: Place, receiver: Receiver
) -> None:
    webhook = await place.webhook(receiver.url, retry=LATER)
    receiver.answers = [Answer(503, {"X-Said": "later"}, b"closed for lunch")]
    await place.emit("user.created", {"id": "usr_1"})
    await page.goto(f"/webhooks/{webhook['id']}")
    await page.get_by_role("link", name=re.compile("user.created")).click()
    live = page.locator("#live")
    await expect(live.get_by_text("503", exact=True).first).to_be_visible()
    await expect(live).to_contain_text("closed for lunch")
    await expect(live).to_contain_text("X-Said")
    await expect(live).to_contain_text("X-Dispatcher-Event")
    await expect(page.locator("dd.error")).to_contain_text(re.compile(r"\w+ \w+"))
    countdown = live.locator("dd [data-due]")
    await expect(countdown).to_have_text(re.compile(r"in (9|10) min"))
    await page.get_by_role("button", name="Retry now").click()
    await expect(page.get_by_role("status").first).to_have_text("The delivery is being sent again.")
    await expect(live.locator("h1 + [role=status]")).to_have_text("delivered")
    await expect(page.locator("details.attempt")).to_have_count(2)
    assert len(receiver.requests) == 2
    await expect(page.locator("#payload")).to_contain_text("usr_1")


async def test_an_unanswered_delivery_is_explained(page: Page, place: Place) -> None:
    async with Receiver() as gone:
        url = gone.url
    webhook = await place.webhook(url, retry=LATER)
    await place.emit("user.created", {})
    await page.goto(f"/webhooks/{webhook['id']}")
    await page.get_by_role("link", name=re.compile("user.created")).click()
    await expect(page.locator("dd.error")).to_contain_text("refused")
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.locator("#live h1 + [role=status]")).to_have_text("cancelled")


async def test_opened_details_stay_open_while_a_page_refreshes(
    page: Page, place: Place, receiver: Receiver
) -> None:
    receiver.answers, receiver.otherwise = [503], 500
    retry = {"retries": 3, "base": 0.1, "factor": 60, "jitter": 0}
    webhook = await place.webhook(receiver.url, retry=retry)
    await place.emit("user.created", {})
    await receiver.wait_for(2)
    await page.goto(f"/webhooks/{webhook['id']}")
    await page.get_by_role("link", name=re.compile("user.created")).click()
    attempts = page.locator("details.attempt")
    await expect(attempts).to_have_count(2)
    await attempts.last.locator("summary").click()
    async with page.expect_response(re.compile("/deliveries/")) as renewed:
        pass
    await (await renewed.value).finished()
    await expect(attempts.last).to_have_attribute("open", "")
    await expect(attempts.first).to_have_attribute("open", "")


async def test_failed_deliveries_are_counted_and_recovered(
    page: Page, place: Place, receiver: Receiver
) -> None:
    webhook = await place.webhook(receiver.url, retry=NEVER)
    receiver.answers = [500, 500, 500]
    for _ in range(3):
        await place.emit("user.created", {})
    await receiver.wait_for(3)
    await page.goto(f"/webhooks/{webhook['id']}")
    await expect(page.locator("tbody").get_by_text("failed", exact=True)).to_have_count(3)
    await page.get_by_role("link", name="Recoveries").click()
    await page.get_by_role("radio", name="last hour").check()
    await page.get_by_role("button", name="Preview").click()
    await expect(page.get_by_role("heading", name="Recover 3 deliveries?")).to_be_visible()
    await page.get_by_role("button", name="Recover").click()
    await expect(page.get_by_role("status").first).to_have_text("The recovery has started.")
    row = page.locator("tbody tr")
    await expect(row.get_by_text("done")).to_be_visible()
    await expect(row).to_contain_text("3")
    await receiver.wait_for(6)


async def test_a_recovery_is_for_times_that_are_times(page: Page, place: Place) -> None:
    webhook = await place.webhook("http://127.0.0.1:8999/")
    await page.goto(f"/webhooks/{webhook['id']}/recoveries")
    await page.get_by_role("radio", name="a time").check()
    await page.get_by_label("From (UTC)").fill("2026-01-01T00:00")
    await page.get_by_role("button", name="Preview").click()
    await expect(page.get_by_role("heading", name="Nothing to recover")).to_be_visible()
