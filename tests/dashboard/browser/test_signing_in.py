"""In and out of the dashboard, its themes and environments."""

import random
import re

import pytest
from playwright.async_api import Browser, Page, expect
from yarl import URL

from tests.api.conftest import OTHER, Api
from tests.conftest import Connection
from tests.dashboard.browser.browsing import NARROW, SITE, Browsing, Place


async def test_a_user_signs_in_with_a_token_and_out_again(browsing: Browsing, place: Place) -> None:
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
    link = standing.daemon.dashboard.login_link(place.token)
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
    await page.get_by_role("link", name="Webhooks", exact=True).click()
    for environment, there, by_link in (
        (place.environment_id, True, True),
        (OTHER, False, False),
        (place.environment_id, True, False),
    ):
        switch = page.locator("#environment")
        await switch.locator("summary").click()
        if by_link:
            await switch.get_by_role("option").filter(has_text=environment).click()
        else:
            await switch.get_by_label("Go to").fill(environment)
            await page.get_by_role("button", name="Switch").click()
        await expect(page).to_have_url(re.compile(f"/e/{environment}/webhooks$"))
        await expect(page.locator("#environment summary .mono")).to_have_text(environment)
        await expect(page.get_by_text("Of the place")).to_have_count(1 if there else 0)


@pytest.mark.parametrize("script", [True, False])
async def test_a_tab_acts_in_the_environment_that_it_shows(
    browsing: Browsing, standing: Api, place: Place, database: Connection, *, script: bool
) -> None:
    wanderer = await browsing.open(await standing.token(), java_script_enabled=script)
    tabs = [await wanderer.context.new_page() for _ in range(2)]
    draw, places = random.Random(8), (place.environment_id, OTHER)
    expected = []
    for number in range(6):
        for index, tab in enumerate(tabs):
            environment, name = draw.choice(places), f"tab{script:d}.n{number}_{index}"
            await tab.goto(f"/e/{environment}/event-types/new")
            await tab.get_by_label("Type").fill(name)
            expected.append((name, environment))
        for tab in draw.sample(tabs, 2):
            await wanderer.goto(f"/e/{draw.choice(places)}/")
            await tab.get_by_role("button", name="Save").click()
            await expect(tab.get_by_role("status")).to_contain_text("Created.")
    noted = await database.fetch(
        "SELECT subject, environment_id FROM dispatcher.audit"
        " WHERE action = 'event_type.create' AND subject LIKE $1",
        f"tab{script:d}.%",
    )
    assert sorted(map(tuple, noted)) == sorted(expected)


@pytest.mark.parametrize("script", [True, False])
async def test_the_menu_opens_on_a_narrow_screen(
    browsing: Browsing, place: Place, *, script: bool
) -> None:
    page = await browsing.open(place.token, viewport=NARROW, java_script_enabled=script)
    await page.goto("/webhooks")
    events = page.get_by_role("link", name="Events", exact=True)
    await expect(events).to_be_hidden()
    await page.locator("summary", has_text="Menu").click()
    await events.click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Events")


async def test_signing_in_by_plain_http_works_except_from_another_site(
    chromium: Browser, standing: Api, place: Place
) -> None:
    """Of such a host a browser tells no Sec-Fetch-Site, but Origin."""
    port = URL(standing.address).port
    context = await chromium.new_context()
    page = await context.new_page()
    form = f"http://{SITE}:{port}/sign-in"
    await page.goto(f"http://evil.{SITE}:{port}/livez")
    await page.set_content(
        f"<form method=post action='{form}'><input name=token value='{place.token}'><button></form>"
    )
    async with page.expect_request(form) as sent:
        await page.get_by_role("button").click()
    headers = await (await sent.value).all_headers()
    assert "sec-fetch-site" not in headers
    await expect(page.get_by_text("Another site may not sign you in")).to_be_visible()
    await page.goto(form)
    await page.get_by_label("Token").fill(place.token)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    await context.close()
