"""What people do on the pages of a delivery and an event: read, compare, copy and step on."""

import re

from playwright.async_api import Page, expect

from tests.dashboard.browser.browsing import Browsing, Place, protruding
from tests.dashboard.browser.test_accessibility import violations
from tests.receivers import Answer, Receiver

QUICK = {"retries": 5, "base": 0.01, "factor": 1, "jitter": 0}
JSON = {"Content-Type": "application/json", "X-Reason": "tired"}


async def opened(page: Page, place: Place, receiver: Receiver, data: object) -> str:
    """Open the delivery of a new event, once it is delivered. Return the webhook's id."""
    webhook = await place.webhook(receiver.url, retry=QUICK, name="Initech")
    await place.emit("user.created", data)
    await page.goto(f"/webhooks/{webhook['id']}")
    await page.get_by_role("link", name=re.compile("user.created")).click()
    await expect(page.locator("#live h1 + [role=status]")).to_have_text("delivered")
    name: str = webhook["id"]
    return name


async def test_equal_attempts_are_folded_and_opened(
    page: Page, place: Place, receiver: Receiver
) -> None:
    broken = Answer(500, JSON, b'{"reason":"no stock"}')
    receiver.answers = [broken, broken, broken, Answer(503, {}, b"busy")]
    await opened(page, place, receiver, {})
    groups = page.locator("details.attempt")
    await expect(groups).to_have_count(3)
    await groups.nth(1).locator("summary").first.click()
    await expect(groups.nth(1).locator(".attempt-changes")).to_contain_text(
        "Header x-reasontired → none"
    )
    await groups.last.locator("summary").first.click()
    await expect(groups.last).to_contain_text("Attempts 1\N{EN DASH}3")
    await expect(groups.last.locator("pre").first).to_have_text('{\n  "reason": "no stock"\n}')
    await groups.last.get_by_text("All 3 attempts").click()
    await expect(groups.last.locator(".equal-attempts li .attempt-number")).to_have_count(3)
    await expect(groups.last.get_by_label("Phases of attempt 2")).to_contain_text("Done after")
    assert await violations(page) == []


async def test_a_curl_command_is_made_in_place_and_copied(
    page: Page, place: Place, receiver: Receiver
) -> None:
    await opened(page, place, receiver, {"text": "it's $(id)"})
    await page.get_by_role("button", name="Copy as curl").click()
    command = page.locator("#curl-command")
    await expect(command).to_contain_text("webhook-signature: v1,")
    await page.get_by_role("button", name="Copy the command").click()
    await expect(page.get_by_role("button", name="Copied")).to_be_visible()
    copied = await page.evaluate("navigator.clipboard.readText()")
    assert copied == await command.text_content()
    assert copied.startswith("curl --include")
    assert await violations(page) == []
    await page.set_viewport_size({"width": 320, "height": 800})
    assert await protruding(page) == []


async def test_a_curl_command_is_made_without_javascript(
    browsing: Browsing, place: Place, receiver: Receiver
) -> None:
    page = await browsing.open(place.token, java_script_enabled=False)
    await opened(page, place, receiver, {})
    await page.get_by_role("button", name="Copy as curl").click()
    await expect(page.locator("#curl-command")).to_contain_text("curl --include")
    await page.get_by_role("link", name="Back to the delivery").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("user.created")


async def test_a_payload_is_set_out_or_exact_and_copied_as_it_is(
    page: Page, place: Place, receiver: Receiver
) -> None:
    await opened(page, place, receiver, {"text": "\u202etxt"})
    body = receiver.requests[0].body.decode()
    pretty, exact = page.locator(".form-pretty"), page.locator(".form-exact")
    await expect(pretty).to_contain_text('"text": "\\u202etxt"')
    await expect(exact).to_be_hidden()
    await page.get_by_role("radio", name="Exact bytes").check()
    await expect(exact).to_have_text(body.replace("\u202e", "\\u202e"))
    await expect(pretty).to_be_hidden()
    await page.get_by_role("button", name="Copy", exact=True).last.click()
    await expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert await page.evaluate("navigator.clipboard.readText()") == body


async def test_one_steps_through_the_list_that_one_came_from(
    page: Page, place: Place, receiver: Receiver
) -> None:
    webhook = await place.webhook(receiver.url)
    for type_ in ("user.created", "role.created", "user.updated"):
        await place.emit(type_, {})
    await receiver.wait_for(3)
    await page.goto(f"/webhooks/{webhook['id']}?event=user.*")
    await page.get_by_role("link", name=re.compile("user.updated")).click()
    heading = page.get_by_role("heading", level=1)
    await page.get_by_role("link", name="Older").click()
    await expect(heading).to_have_text("user.created")
    await page.get_by_role("link", name="Older").click()
    await expect(page.get_by_role("status").first).to_contain_text("oldest one of the list")
    await page.get_by_role("link", name="Newer").click()
    await expect(heading).to_have_text("user.updated")
    await page.get_by_role("link", name="Back to the filtered list").click()
    await expect(page.locator("tbody tr")).to_have_count(2)
