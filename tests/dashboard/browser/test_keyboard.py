"""Everything by the keyboard alone; and the whole without JavaScript."""

import re
from contextlib import suppress

from playwright.async_api import Locator, Page, expect

from tests.dashboard.browser.browsing import Browsing, Place
from tests.receivers import Receiver


async def test_the_first_key_leads_past_the_menu(page: Page) -> None:
    await page.goto("/webhooks")
    await page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    await expect(skip).to_be_focused()
    await expect(skip).to_be_in_viewport()
    await page.keyboard.press("Enter")
    await expect(page.locator("main")).to_be_focused()
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Create webhook")).to_be_focused()


async def test_the_tab_key_follows_the_reading_order(page: Page) -> None:
    await page.goto("/webhooks")
    reached = []
    for _ in range(15):
        await page.keyboard.press("Tab")
        reached.append(await page.evaluate("document.activeElement.innerText.trim()"))
    assert reached == [
        "Skip to the content",
        "Dispatcher",
        "Overview",
        "Deliveries",
        "Webhooks",
        "Events",
        "Event types",
        "Quarantine",
        "Tokens",
        "Audit",
        "Theme",
        "Local time",
        "Sign out",
        "",  # the box, which has no text
        "Create webhook",
    ]


async def test_the_focus_is_visible(page: Page, place: Place) -> None:
    webhook = await place.webhook("http://127.0.0.1:8999/")
    unseen = """() => {
        const style = getComputedStyle(document.activeElement);
        return style.outlineStyle === "none" && document.activeElement.tagName !== "BODY"
            && document.activeElement.outerHTML;
    }"""
    await page.goto(f"/webhooks/{webhook['id']}/settings")
    for _ in range(60):
        await page.keyboard.press("Tab")
        assert not await page.evaluate(unseen)


async def test_a_dialog_holds_the_keys_and_gives_them_back(page: Page, place: Place) -> None:
    webhook = await place.webhook("http://127.0.0.1:8999/")
    await page.goto(f"/webhooks/{webhook['id']}")
    opener = page.get_by_role("button", name="Delete", exact=True)
    dialog = page.get_by_role("dialog", name=re.compile("Delete"))
    for key in ("Enter", "Space"):
        await opener.focus()
        await page.keyboard.press(key)
        await expect(dialog).to_be_visible()
        for _ in range(4):
            assert await page.evaluate(
                "document.activeElement === document.body"
                " || document.activeElement.closest('dialog') !== null"
            )
            await page.keyboard.press("Tab")
        await page.keyboard.press("Escape")
        await expect(dialog).to_be_hidden()
        await expect(opener).to_be_focused()


async def test_a_webhook_is_made_by_the_keyboard_alone(page: Page, receiver: Receiver) -> None:
    await page.goto("/webhooks/new")
    await page.locator("#url").focus()
    await page.keyboard.type(receiver.url)
    await page.keyboard.press("Tab")
    await page.keyboard.type("By keys")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Tab")
    await page.keyboard.type("user.*")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("By keys is created")


async def test_keys_stay_where_they_are_while_a_list_renews_itself(
    page: Page, place: Place
) -> None:
    webhook = await place.webhook("http://127.0.0.1:8999/", retry={"retries": 0})
    await place.emit("user.created", {})
    await page.goto(f"/webhooks/{webhook['id']}")
    link = page.get_by_role("link", name=re.compile("user.created"))
    await link.focus()
    await place.emit("user.updated", {})
    await expect(page.get_by_role("link", name="1 new, show")).to_be_visible()
    await expect(link).to_be_focused()
    await page.get_by_role("link", name="1 new, show").press("Enter")
    await expect(page.get_by_role("link", name=re.compile("user.updated"))).to_be_focused()


async def reload_until(page: Page, locator: Locator) -> None:
    """Reload a page that has no script until it shows `locator`, at most 20 times."""
    for _ in range(20):
        await page.reload()
        with suppress(AssertionError):
            await expect(locator).to_be_visible(timeout=500)
            return
    await expect(locator).to_be_visible()


async def test_without_scripts_webhooks_are_made_tried_changed_and_deleted(
    browsing: Browsing, place: Place, receiver: Receiver
) -> None:
    page = await browsing.open(place.token, java_script_enabled=False)
    await page.goto("/webhooks/new")
    await page.get_by_label("URL").fill(receiver.url)
    await page.get_by_label("Event types or patterns").fill("user.*")
    await page.get_by_role("button", name="Create webhook").click()
    assert await page.locator("#secret").inner_text()
    await page.get_by_role("link", name="Open the webhook").click()
    await page.get_by_role("button", name="Send test event").click()
    # A page must be there before it can be reloaded, and the receiver may answer before it is.
    await expect(page.get_by_role("heading", level=1)).to_have_text("webhook.test")
    await receiver.wait_for(1)
    await reload_until(page, page.locator("#live").get_by_text("accepted"))
    await expect(page.locator("#payload")).to_contain_text("webhook.test")
    await page.get_by_role("navigation", name="Pages").get_by_text("Webhooks").click()
    await page.locator("tbody a").click()
    await page.get_by_role("link", name="webhook.test").click()
    await page.get_by_role("button", name="Send again").click()
    await expect(page.locator("#flash, [role=status]").first).to_be_visible()
    await receiver.wait_for(2)
    await page.locator("main a", has_text="127.0.0.1").first.click()
    await page.get_by_role("button", name="Delete", exact=True).click()
    await page.get_by_role("button", name="Delete webhook").click()
    await expect(page.get_by_role("heading", name="No webhooks yet")).to_be_visible()
