"""In and out of the dashboard, its themes and environments."""

import re

from playwright.async_api import Page, expect

from tests.api.conftest import OTHER, Api
from tests.dashboard.browser.browsing import NARROW, Browsing, Place


async def test_one_signs_in_with_a_token_and_out_again(browsing: Browsing, place: Place) -> None:
    page = await browsing.open()
    await page.goto("/webhooks")
    await expect(page).to_have_url(re.compile("/sign-in"))
    browsing.expected.add(401)
    await page.get_by_label("Token").fill("dsp_nonsense")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_contain_text("not valid")
    await page.goto("/sign-in?next=/webhooks")
    await page.get_by_label("Token").fill(place.token)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Webhooks")
    await page.get_by_role("button", name="Sign out").click()
    await expect(page).to_have_url(re.compile("/sign-in"))
    await page.goto("/webhooks")
    await expect(page).to_have_url(re.compile("/sign-in"))


async def test_a_link_signs_in_once(browsing: Browsing, standing: Api, place: Place) -> None:
    link = standing.daemon.dashboard.invite(place.token)
    page = await browsing.open()
    await page.goto(link)
    await expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    browsing.expected.add(403)
    another = await browsing.open()
    await another.goto(link)
    await expect(another.get_by_role("alert")).to_contain_text("used before")


async def test_a_theme_that_was_chosen_stays(page: Page) -> None:
    await page.goto("/webhooks")
    paper = "getComputedStyle(document.body).backgroundColor"
    light = await page.evaluate(paper)
    await page.get_by_role("button", name="Theme").click()
    dark = await page.evaluate(paper)
    assert dark != light
    await page.goto("/events")
    assert await page.evaluate(paper) == dark
    await page.get_by_role("button", name="Theme").click()
    await page.reload()
    assert await page.evaluate(paper) == light


async def test_the_theme_is_the_systems_until_one_is_chosen(
    browsing: Browsing, place: Place
) -> None:
    page = await browsing.open(place.token, color_scheme="dark")
    await page.goto("/webhooks")
    paper = "getComputedStyle(document.body).backgroundColor"
    dark = await page.evaluate(paper)
    await page.get_by_role("button", name="Theme").click()
    assert await page.evaluate(paper) != dark


async def test_an_administrator_of_all_switches_between_environments(
    browsing: Browsing, standing: Api, place: Place
) -> None:
    await place.webhook("http://127.0.0.1:8999/", name="Of the place")
    page = await browsing.open(await standing.token())
    await page.goto("/")
    for environment, there in ((place.environment_id, True), (OTHER, False)):
        switch = page.get_by_label("Environment", exact=True)
        async with page.expect_response(re.compile("/environments")):
            await switch.focus()
        assert environment in await page.locator("datalist option").evaluate_all(
            "options => options.map(option => option.value)"
        )
        await switch.fill(environment)
        await page.get_by_role("button", name="Switch").click()
        await page.goto("/webhooks")
        await expect(page.get_by_label("Environment", exact=True)).to_have_value(environment)
        await expect(page.get_by_text("Of the place")).to_have_count(1 if there else 0)


async def test_the_menu_opens_on_a_narrow_screen(browsing: Browsing, place: Place) -> None:
    page = await browsing.open(place.token, viewport=NARROW)
    await page.goto("/webhooks")
    events = page.get_by_role("link", name="Events", exact=True)
    await expect(events).to_be_hidden()
    menu = page.get_by_role("button", name="Menu")
    await menu.click()
    await expect(menu).to_have_attribute("aria-expanded", "true")
    await events.click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Events")
