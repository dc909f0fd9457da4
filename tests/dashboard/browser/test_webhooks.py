"""A webhook's life, as people lead it: made, tried out, changed, rotated, disabled, deleted."""

import re
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from dispatcher.core.credentials import basic
from tests.certificates import Authority
from tests.dashboard.browser.browsing import Browsing, Place
from tests.receivers import Receiver


async def test_a_webhook_is_made_its_secret_copied_and_a_test_event_watched(
    page: Page, place: Place, receiver: Receiver
) -> None:
    await place.ask("PUT", "/api/event-types/user.created", {"description": "A user was created"})
    await place.ask("PUT", "/api/event-types/role.created", {"description": "A role was created"})
    await page.goto("/webhooks")
    await page.get_by_role("link", name="Create webhook").click()
    await page.get_by_label("URL").fill(receiver.url)
    await page.get_by_label(re.compile("^Name")).fill("User sync")
    await page.get_by_label("Find").fill("ROLE")
    await expect(page.get_by_role("checkbox", name="user.created")).to_be_hidden()
    await page.get_by_role("checkbox", name="role.created").check()
    await page.get_by_label("Find").fill("")
    await page.get_by_label("Others, or patterns").fill("user.*")
    await expect(page.locator("#matches")).to_contain_text("Matches 2 of 2")
    await page.get_by_role("button", name="Create webhook").click()

    await expect(page.get_by_role("heading", level=1)).to_have_text("User sync is created")
    secret = await page.locator("#secret").inner_text()
    assert re.fullmatch("[0-9a-f]{64}", secret)
    await page.get_by_role("region", name="Signing secret").get_by_role("button").click()
    await expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert await page.evaluate("navigator.clipboard.readText()") == secret
    for language, word in (("Node", "express"), ("Go", "package main"), ("Python", "import os")):
        await page.get_by_role("radio", name=language).check()
        snippet = page.get_by_label(language, exact=True).and_(page.locator("pre"))
        await expect(snippet).to_be_visible()
        await expect(snippet).to_contain_text(word)
    await page.reload()
    await expect(page.get_by_role("heading", level=1)).to_have_text("User sync")
    assert secret not in await page.content()

    receiver.otherwise = 204
    await page.get_by_role("button", name="Send test event").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("webhook.test")
    await expect(page.locator("#live h1 + [role=status]")).to_have_text("delivered")
    await expect(page.get_by_text("accepted")).to_be_visible()
    assert (await receiver.wait_for(1))[0].headers["X-Dispatcher-Event"] == "webhook.test"


async def test_an_error_is_beside_its_field_and_the_input_is_kept(
    page: Page, browsing: Browsing
) -> None:
    browsing.expected.add(422)
    await page.goto("/webhooks/new")
    await page.get_by_label("URL").fill("ftp://example.com/")
    await page.get_by_label(re.compile("^Name")).fill("Kept")
    await page.get_by_label("Event types or patterns").fill("user.**")
    await expect(page.locator("#matches .field-error")).to_be_visible()
    await page.get_by_role("button", name="Create webhook").click()
    events = page.get_by_role("group", name="Events")
    await expect(events).to_have_accessible_description(re.compile("pattern"))
    await expect(page.get_by_label("Event types or patterns")).to_have_value("user.**")
    await page.get_by_label("Event types or patterns").fill("user.*")
    await page.get_by_role("button", name="Create webhook").click()
    await expect(page.get_by_label("URL")).to_have_accessible_description(re.compile("http"))
    await expect(page.get_by_label("URL")).to_have_value("ftp://example.com/")
    await expect(page.get_by_label(re.compile("^Name"))).to_have_value("Kept")
    await expect(page.get_by_label("Event types or patterns")).to_have_value("user.*")


async def test_settings_are_changed_and_a_schedule_explained_while_it_is_typed(
    page: Page, place: Place, receiver: Receiver
) -> None:
    webhook = await place.webhook(receiver.url, name="Before")
    await page.goto(f"/webhooks/{webhook['id']}")
    await page.get_by_role("link", name="Settings").click()
    await page.get_by_label("Name", exact=True).fill("After")
    await page.get_by_label("Name of a new header").first.fill("X-Api-Key")
    await page.get_by_label("Value of the new header").first.fill("k-1")
    await page.get_by_label("Retries").fill("2")
    await page.get_by_label("Delay of the first retry, seconds").fill("7200")
    await expect(page.get_by_role("status", name="When it is tried")).to_contain_text("after 2 h")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("status").first).to_have_text("Saved.")
    await expect(page.get_by_role("heading", level=1)).to_have_text("After")
    assert "k-1" not in await page.content()
    await place.emit("user.created", {})
    assert (await receiver.wait_for(1))[0].headers["X-Api-Key"] == "k-1"


async def test_credentials_are_replaced_and_removed_and_never_shown(
    page: Page, place: Place, receiver: Receiver, tmp_path: Path
) -> None:
    webhook = await place.webhook(receiver.url)
    await page.goto(f"/webhooks/{webhook['id']}")
    await page.get_by_role("link", name="Credentials").click()
    await expect(page.get_by_label("User name")).to_be_hidden()
    await page.get_by_role("radio", name="HTTP basic").check()
    await page.get_by_label("User name").fill("ann")
    await page.get_by_label("Password").fill("hush-hush")
    await page.get_by_role("button", name="Save authentication").click()
    await expect(page.get_by_role("status").first).to_have_text("Saved.")
    await expect(page.locator("#stored-authentication")).to_have_text("HTTP basic")
    await expect(page.get_by_label("Password")).to_have_value("")
    assert "hush-hush" not in await page.content()
    await place.emit("user.created", {})
    sent = (await receiver.wait_for(1))[0].headers["Authorization"]
    assert sent == basic("ann", "hush-hush")

    authority = Authority(tmp_path)
    certificate, key = authority.client()
    await page.get_by_label("Client certificate", exact=True).fill(certificate)
    await page.get_by_label("Private key of the client certificate").fill(key)
    await page.get_by_label("Certificates to trust").fill(authority.root.read_text())
    await page.get_by_role("button", name="Save certificates").click()
    await expect(page.locator("#stored-certificates")).to_contain_text("CN=Test authority")
    assert key.split("\n")[1] not in await page.content()
    await expect(page.locator("#stored-authentication")).to_have_text("HTTP basic")

    await page.get_by_role("button", name="Remove certificates").click()
    await expect(page.locator("#stored-certificates")).to_contain_text("those of the system")
    await page.get_by_role("radio", name="nothing").check()
    await page.get_by_role("button", name="Save authentication").click()
    await expect(page.locator("#stored-authentication")).to_have_text("none")
    for count in range(2, 50):  # an event right after the change may still have the old ones
        await place.emit("user.created", {})
        if "Authorization" not in (await receiver.wait_for(count))[-1].headers:
            break
    assert "Authorization" not in receiver.requests[-1].headers


async def test_an_oauth2_client_without_its_secret_is_refused_beside_the_form(
    page: Page, place: Place, receiver: Receiver, browsing: Browsing
) -> None:
    browsing.expected.add(422)
    webhook = await place.webhook(receiver.url)
    await page.goto(f"/webhooks/{webhook['id']}/credentials")
    await page.get_by_role("radio", name="OAuth 2").check()
    await page.get_by_label("Token URL").fill("https://login.example.com/token")
    await page.get_by_label("Client id").fill("me")
    await page.get_by_role("button", name="Save authentication").click()
    group = page.get_by_role("group", name="Use")
    await expect(group).to_have_accessible_description(re.compile("client secret"))
    await expect(page.get_by_label("Client id")).to_have_value("me")


@pytest.mark.parametrize("overlap", ["no longer", "for a day"])
async def test_a_secret_is_rotated_with_the_old_one_signing_on_or_not(
    page: Page, place: Place, receiver: Receiver, overlap: str
) -> None:
    webhook = await place.webhook(receiver.url)
    await page.goto(f"/webhooks/{webhook['id']}")
    await page.get_by_role("button", name="Rotate secret").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("The old secret signs as well").select_option(overlap)
    await dialog.get_by_role("button", name="Rotate secret").click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("has a new secret")
    assert await page.locator("#secret").inner_text() != webhook["secret"]
    await place.emit("user.created", {})
    signatures = (await receiver.wait_for(1))[0].headers["webhook-signature"].split()
    assert len(signatures) == (1 if overlap == "no longer" else 2)


async def test_a_disabled_webhook_holds_deliveries_and_sends_them_when_enabled(
    page: Page, place: Place, receiver: Receiver
) -> None:
    webhook = await place.webhook(receiver.url)
    await page.goto(f"/webhooks/{webhook['id']}")
    await page.get_by_role("button", name="Disable").click()
    await expect(page.get_by_role("status").first).to_contain_text("Disabled")
    await expect(page.get_by_text("Disabled: by hand")).to_be_visible()
    await expect(page.get_by_role("button", name="Send test event")).to_have_count(0)
    await page.get_by_role("button", name="Enable").click()
    await expect(page.locator("#standing")).to_have_text("active")
    await place.emit("user.created", {})
    await receiver.wait_for(1)
    await expect(page.locator("tbody").get_by_text("delivered", exact=True)).to_be_visible()


async def test_deleting_a_webhook_needs_a_confirmation(
    page: Page, place: Place, receiver: Receiver
) -> None:
    webhook = await place.webhook(receiver.url, name="Old one")
    await page.goto(f"/webhooks/{webhook['id']}")
    await page.get_by_role("button", name="Delete", exact=True).click()
    await page.get_by_role("button", name="Keep it").click()
    await expect(page.get_by_role("dialog")).to_be_hidden()
    await page.get_by_role("button", name="Delete", exact=True).click()
    await page.get_by_role("button", name="Delete webhook").click()
    await expect(page.get_by_role("status").first).to_contain_text("Deleted")
    await expect(page.get_by_role("heading", name="No webhooks yet")).to_be_visible()


async def test_the_list_updates_the_health_of_webhooks(
    page: Page, place: Place, receiver: Receiver
) -> None:
    await place.webhook(receiver.url, name="User sync", retry={"retries": 1, "base": 600})
    await page.goto("/webhooks")
    row = page.get_by_role("row", name=re.compile("User sync"))
    await expect(row.get_by_text("active")).to_be_visible()
    await expect(row).to_contain_text("nothing sent")
    receiver.answers = [200, 500]
    for number in (1, 2):
        await place.emit("user.created", {})
        await receiver.wait_for(number)
    await expect(row).to_contain_text("50.0 %")
    await expect(row.get_by_role("img")).to_be_visible()
    await expect(row.get_by_text("failing")).to_be_visible()
