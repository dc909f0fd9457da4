"""Tokens are made and revoked; the audit tells of it."""

from playwright.async_api import Page, expect

from tests.api.conftest import Api
from tests.dashboard.browser.browsing import Browsing


async def test_a_token_is_shown_once_copied_used_and_revoked(
    page: Page, browsing: Browsing, standing: Api
) -> None:
    await page.goto("/tokens")
    await page.get_by_label("Name").fill("For the shop")
    await page.get_by_label("Scope").select_option("write")
    await page.get_by_label("Expires after").select_option("30 days")
    await page.get_by_role("button", name="Create token").click()
    token = await page.locator("#token").inner_text()
    await page.get_by_role("button", name="Copy").click()
    await expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert await page.evaluate("navigator.clipboard.readText()") == token
    assert (await standing.client_with_token(token)("GET", "/api/webhooks")).status == 200

    await page.reload()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Tokens")
    assert token not in await page.content()

    theirs = await browsing.open(token)
    await theirs.goto("/webhooks")
    await expect(theirs.get_by_role("link", name="Create webhook")).to_be_visible()
    await expect(theirs.get_by_role("link", name="Tokens")).to_have_count(0)

    await page.get_by_role("button", name="Revoke For the shop").click()
    await expect(page.get_by_role("status")).to_contain_text("Revoked")
    await theirs.reload()
    await expect(theirs.get_by_role("button", name="Sign in")).to_be_visible()


async def test_a_read_token_is_offered_no_change(browsing: Browsing, standing: Api) -> None:
    page = await browsing.open(await standing.token("read", "env_default"))
    for path in ("/webhooks", "/events", "/event-types", "/quarantine"):
        await page.goto(path)
        await expect(page.get_by_role("heading", level=1)).to_be_visible()
        await expect(page.locator("main form[method=post]")).to_have_count(0)
    browsing.expected.add(403)
    await page.goto("/tokens")
    await expect(page.get_by_text("needs a token with the scope admin")).to_be_visible()


async def test_the_audit_is_searched(page: Page) -> None:
    await page.goto("/event-types/new")
    await page.get_by_label("Type").fill("audited.type")
    await page.get_by_role("button", name="Save").click()
    await page.goto("/audit")
    await page.get_by_label("Action").fill("event_type.create")
    await page.get_by_role("button", name="Filter").click()
    await expect(page.locator(".cards > tbody > tr")).to_have_count(1)
    await expect(page.get_by_role("link", name="audited.type")).to_be_visible()
    await page.get_by_label("Action").fill("token.revoke")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Nothing found")).to_be_visible()
