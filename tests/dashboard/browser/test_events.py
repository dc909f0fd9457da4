"""Events are emitted and found; event types described; quarantine emptied."""

import re

from playwright.async_api import Page, expect

from tests.dashboard.browser.browsing import Browsing, Place
from tests.receivers import Receiver

SCHEMA = '{"type": "object", "required": ["id"]}'


async def test_an_event_is_emitted_and_its_deliveries_come_up(
    page: Page, place: Place, receiver: Receiver
) -> None:
    await place.webhook(receiver.url)
    await page.goto("/events")
    await expect(page.get_by_role("heading", name="No events yet")).to_be_visible()
    await page.get_by_role("link", name="Emit event").click()
    await page.get_by_label("Type").fill("user.created")
    await page.get_by_label("Data").fill('{"n": 1.10}')
    await page.get_by_role("button", name="Emit event").click()
    await expect(page.get_by_role("status")).to_have_text("Emitted.")
    await expect(page.locator("#data")).to_have_text('{\n  "n": 1.10\n}')
    deliveries = page.get_by_role("region", name="Deliveries")
    await expect(deliveries.get_by_text("delivered", exact=True)).to_be_visible()
    assert b'"data":{"n": 1.10}' in (await receiver.wait_for(1))[0].body


async def test_an_invalid_event_is_reported_beside_the_field(
    page: Page, browsing: Browsing
) -> None:
    browsing.expected.add(422)
    await page.goto("/events/new")
    await page.get_by_label("Type").fill("a.b")
    await page.get_by_label("Data").fill("{nope")
    await page.get_by_role("button", name="Emit event").click()
    data = page.get_by_label("Data")
    await expect(data).to_have_accessible_description(re.compile("not JSON"))
    await expect(data).to_have_value("{nope")


async def test_events_are_found_and_new_ones_appear(page: Page, place: Place) -> None:
    for type_ in ("user.created", "user.updated", "role.created"):
        await place.emit(type_, {})
    await page.goto("/events")
    rows = page.locator("tbody tr")
    await expect(rows).to_have_count(3)
    await page.get_by_label("Type").fill("user.*")
    await page.get_by_role("button", name="Filter").click()
    await expect(rows).to_have_count(2)
    await place.emit("user.deleted", {})
    await place.emit("role.deleted", {})
    await page.get_by_role("link", name="1 new, show").click()
    await expect(rows).to_have_count(3)
    await expect(rows.first).to_contain_text("user.deleted")
    await page.get_by_role("link", name="Clear").click()
    await expect(rows).to_have_count(5)
    event_id = await place.emit("tenant.created", {})
    await page.get_by_label("Id").fill(event_id)
    await page.keyboard.press("Enter")
    await expect(rows).to_have_count(1)
    await page.get_by_label("Since").fill("2000-01-01T00:00")
    await page.get_by_label("Until").fill("2000-01-02T00:00")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Nothing found")).to_be_visible()


async def test_typed_text_stays_when_a_list_updates(page: Page, place: Place) -> None:
    await place.emit("user.created", {})
    await page.goto("/events")
    await page.get_by_label("Type").fill("role.cr")
    await place.emit("user.updated", {})
    await expect(page.get_by_role("link", name="1 new, show")).to_be_visible()
    await expect(page.get_by_label("Type")).to_have_value("role.cr")
    await expect(page.get_by_label("Type")).to_be_focused()


async def test_an_event_type_is_described_changed_and_taken_out(page: Page) -> None:
    await page.goto("/event-types")
    await page.get_by_role("link", name="Describe event type").click()
    await page.get_by_label("Type").fill("user.created")
    await page.get_by_label("Description").fill("A user was created")
    await page.get_by_label("Example").fill('{"id": 1.50}')
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("cell", name="A user was created")).to_be_visible()
    await page.get_by_role("link", name="user.created").click()
    await page.get_by_label("JSON schema").fill(SCHEMA)
    await page.get_by_label("Enforce").check()
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("enforced", exact=True)).to_be_visible()
    await page.get_by_role("link", name="user.created").click()
    await page.get_by_role("button", name="Delete").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(page.get_by_role("heading", name=re.compile("No event types"))).to_be_visible()


async def test_a_catalogue_is_taken_in_and_an_example_is_there_to_emit(page: Page) -> None:
    await page.goto("/event-types")
    await page.get_by_role("button", name="paylent").click()
    await expect(page.get_by_role("link", name="user.created")).to_be_visible()
    await page.goto("/events/new?type=user.created")
    assert '"' in await page.get_by_label("Data").input_value()


async def test_quarantined_events_are_released_or_discarded(page: Page, place: Place) -> None:
    schema = {"type": "object", "required": ["id"]}
    described = {"schema": schema, "enforce": True}
    await place.ask("PUT", "/api/event-types/a.b", described)
    await page.goto("/quarantine")
    await expect(page.get_by_role("heading", name="Nothing is in quarantine")).to_be_visible()
    released, discarded = await place.emit("a.b", {}), await place.emit("a.b", {"x": 1})
    await page.goto(f"/events/{discarded}")
    await expect(page.get_by_role("link", name="quarantine", exact=True)).to_be_visible()
    await page.goto("/quarantine")
    await page.get_by_role("button", name=f"Release {released}").click()
    await expect(page.get_by_role("status")).to_contain_text("Released")
    await page.get_by_role("button", name=f"Discard {discarded}").click()
    await expect(page.get_by_role("heading", name="Nothing is in quarantine")).to_be_visible()
