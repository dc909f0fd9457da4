"""Live updates hold still, can be paused, and say when they fail."""

import asyncio
import random
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, BrowserContext, Page, ViewportSize, expect
from yarl import URL

from dispatcher.encryption.cipher import Cipher
from tests.api.conftest import Api, served
from tests.conftest import Connection, connected
from tests.dashboard.browser.browsing import NARROW, WIDE, Browsing, Place
from tests.dashboard.browser.test_accessibility import violations
from tests.end_to_end.shell import KEY
from tests.end_to_end.stories import Daemons
from tests.receivers import Receiver

UPDATE = """() => new Promise((done) => {
    const asked = new CustomEvent("refresh");
    document.addEventListener("htmx:finally:request", function over({ detail }) {
        if (detail.ctx.sourceEvent !== asked) return;
        document.removeEventListener("htmx:finally:request", over);
        done();
    });
    document.querySelector("[data-live]").dispatchEvent(asked);
})"""
"""Update the page now, and wait until it is updated."""
RECORD = """() => {
    window.opened = [];
    document.addEventListener("click", (event) => {
        const link = event.target.closest("tbody a");
        if (!link) return;
        window.opened.push(link.pathname);
        event.preventDefault();
    }, true);
}"""
PLACES = """() => [...document.querySelectorAll("tbody tr")].map((row) => {
    const { top, height } = row.getBoundingClientRect();
    return [row.id, Math.round(top), Math.round(height)];
})"""
MIDDLES = """(rows) => rows.map((row) => {
    const { left, top, width, height } = row.querySelector("a").getBoundingClientRect();
    return [row.id, left + width / 2, top + height / 2];
})"""
EMITTED = """
    INSERT INTO dispatcher.events (type, data, environment_id)
    SELECT 'user.created', '{}', $1 FROM generate_series(1, 10)
"""
NEVER: dict[str, Any] = {"retries": 0}
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
"""When the clocks of pages stand still."""
HIDE = """(hidden) => {
    Object.defineProperty(document, "hidden", {get: () => hidden, configurable: true});
    document.dispatchEvent(new Event("visibilitychange"));
}"""
SELECT = """(element) => getSelection().selectAllChildren(element)"""


async def update(page: Page) -> None:
    await page.evaluate(UPDATE)


@asynccontextmanager
async def emitting(dsn: str, environment_id: str) -> AsyncIterator[None]:
    """Emit 100 events a second, for two minutes at most."""

    async def emit() -> None:
        async with connected(dsn) as connection:
            for _ in range(1200):
                await connection.execute(EMITTED, environment_id)
                await asyncio.sleep(0.1)  # the rate

    task = asyncio.create_task(emit())
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_fifty_clicks_at_a_hundred_events_a_second_open_the_fifty_right_rows(
    page: Page, place: Place, receiver: Receiver, standing: Api
) -> None:
    """Banners appear above the list and go, and rows change, while it is clicked."""
    webhook = await place.webhook(receiver.url, retry=NEVER)
    draw = random.Random(50)
    async with emitting(standing.dsn, place.environment_id):
        await receiver.wait_for(100)
        await page.goto(f"/webhooks/{webhook['id']}")
        await page.evaluate(RECORD)
        rows, waiting = page.locator("tbody tr"), page.locator(".new-rows a")
        expected = []
        for number in range(50):
            if number == 15:
                receiver.otherwise = 500
            elif number == 25:
                await place.ask("POST", "/api/pause")
            elif number == 35:
                await place.ask("POST", "/api/resume")
            if number % 10 == 9:
                before = await rows.first.get_attribute("id")
                await waiting.click()
                await expect(rows.first).not_to_have_id(before or "")
            places = await rows.evaluate_all(MIDDLES)
            pointed, (row, x, y) = draw.choice(places[:5]), draw.choice(places[:5])
            await page.mouse.move(*pointed[1:])
            expected.append(row)
            await update(page)
            await page.mouse.click(x, y)
        await expect(waiting).to_have_text(re.compile(r"^\d+\+? new, show$"))
    opened = [
        urlsplit(href).path.partition("/deliveries/")[2] for href in await page.evaluate("opened")
    ]
    assert opened == expected
    assert len(set(expected)) > 20


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
async def test_rows_change_where_they_are_and_lose_nothing_that_a_person_began(
    page: Page, place: Place, receiver: Receiver, size: ViewportSize
) -> None:
    """The banner above the lists goes before they change."""
    receiver.otherwise = 500
    webhook = await place.webhook(receiver.url, retry=NEVER)
    await place.ask("POST", "/api/pause")
    for _ in range(4):
        await place.emit("user.created", {})
    other = await page.context.new_page()
    before = []
    for tab, path in ((page, "/deliveries"), (other, f"/webhooks/{webhook['id']}")):
        await tab.bring_to_front()  # the pointer waits for frames, which others draw rarely
        await tab.set_viewport_size(size)
        await tab.goto(path)
        await update_until(tab, "document.querySelectorAll('tbody tr').length === 4", show=True)
        await tab.locator("tbody tr").nth(2).hover()
        await update(tab)
        before.append(await tab.evaluate(PLACES))
    rows = page.locator("tbody tr")
    await page.bring_to_front()
    await rows.nth(1).get_by_role("checkbox").check()
    await page.get_by_label("Reference").fill("ord_8")
    await rows.nth(2).locator(".mono").last.evaluate(SELECT)
    selected = await page.evaluate("getSelection().toString()")
    await rows.nth(2).hover()
    before[0] = await page.evaluate(PLACES)
    await place.ask("POST", "/api/resume")
    await receiver.wait_for(4)
    await place.emit("user.updated", {})
    await receiver.wait_for(5)
    for tab, places in zip((page, other), before, strict=True):
        await update_until(tab, "document.querySelectorAll('tr .state.failed').length === 4")
        assert await tab.locator("#paused").count() == 0
        assert await tab.evaluate(PLACES) == places
        await expect(tab.get_by_role("link", name="1 new, show")).to_be_visible()
    await expect(rows.nth(1).get_by_role("checkbox")).to_be_checked()
    await expect(page.get_by_label("Reference")).to_have_value("ord_8")
    assert await page.evaluate("getSelection().toString()") == selected != ""


async def update_until(page: Page, true: str, *, show: bool = False) -> None:
    """Update the page until the expression is true, at most 600 times."""
    for _ in range(600):
        if show and await page.locator(".some a").count():
            await page.locator(".some a").click()
        await update(page)
        if await page.evaluate(true):
            return
        await asyncio.sleep(0.05)  # a pause between requests
    raise TimeoutError(true)


async def test_rows_that_leave_a_filter_stay_until_the_next_click(
    page: Page, place: Place, receiver: Receiver
) -> None:
    webhook = await place.webhook(receiver.url)
    await place.ask("POST", "/api/pause")
    await place.emit("user.created", {})
    await page.goto(f"/webhooks/{webhook['id']}?status=PENDING")
    rows = page.locator("tbody tr")
    await expect(rows).to_have_count(1)
    await place.ask("POST", "/api/resume")
    await receiver.wait_for(1)
    shown = page.get_by_role("link", name="1 no longer listed, show")
    await expect(shown).to_be_visible()
    await expect(rows).to_have_class("gone")
    await expect(page.locator("#announced")).to_have_text(re.compile("A link above the list"))
    await shown.click()
    await expect(page.get_by_role("heading", name="Nothing found")).to_be_visible()


async def test_a_new_attempt_waits_only_while_the_attempts_are_read(
    page: Page, place: Place, receiver: Receiver
) -> None:
    receiver.answers = [500, 503, 200]
    webhook = await place.webhook(receiver.url, retry={"retries": 5, "base": 600})
    await place.emit("user.created", {})
    await receiver.wait_for(1)
    await page.goto(f"/webhooks/{webhook['id']}")
    await page.get_by_role("link", name=re.compile("user.created")).click()
    attempts, waits = page.locator("details.attempt"), page.get_by_role("link", name="1 new, show")
    retry = f"/api/deliveries/{await page.locator('#live dd .mono').first.inner_text()}/retry"
    await expect(attempts).to_have_count(1)
    await attempts.first.hover()
    await place.ask("POST", retry)
    await expect(waits).to_be_visible()
    await expect(attempts).to_have_count(1)
    await page.mouse.move(1, 1)
    await expect(attempts).to_have_count(2)
    await attempts.first.hover()
    await place.ask("POST", retry)
    await expect(page.locator("#live h1 + [role=status]")).to_have_text("delivered")
    await expect(attempts).to_have_count(2)
    await waits.click()  # the page has ended its updates, so this loads it again
    await expect(attempts).to_have_count(3)


async def test_a_new_webhook_waits_and_a_deleted_one_stays_until_the_next_click(
    page: Page, place: Place
) -> None:
    names = ("First", "Second", "Third")
    first, _ = [await place.webhook("http://127.0.0.1:8999/", name=name) for name in names[:2]]
    await page.goto("/webhooks")
    await place.webhook("http://127.0.0.1:8999/", name="Third")
    await place.ask("DELETE", f"/api/webhooks/{first['id']}")
    await update(page)
    rows = page.locator("tbody tr")
    await expect(rows).to_contain_text(names[:2])
    await expect(rows.first).to_have_class("gone")
    await page.get_by_role("link", name="1 new, 1 no longer listed, show").click()
    await expect(rows).to_contain_text(names[1:])
    await expect(page.locator(".gone")).to_have_count(0)


async def test_without_scripts_a_link_loads_the_list_again(
    browsing: Browsing, place: Place
) -> None:
    page = await browsing.open(place.token, java_script_enabled=False)
    await place.emit("user.created", {})
    await page.goto("/events?type=user.*")
    await place.emit("user.updated", {})
    await page.get_by_role("link", name="Load again").click()
    await expect(page.locator("tbody tr")).to_have_count(2)
    await expect(page.get_by_label("Type")).to_have_value("user.*")


async def test_updates_are_paused_in_a_browser_until_they_are_resumed(
    page: Page, place: Place
) -> None:
    await place.emit("user.created", {})
    await page.goto("/events")
    other = await page.context.new_page()
    await other.goto("/webhooks/new")
    await other.goto("/events")
    switch, label = page.get_by_role("button", name="Pause updates"), page.locator("#updates-at")
    await expect(switch).to_have_attribute("aria-pressed", "false")
    await expect(label).to_have_text(re.compile(r"^Updated \d\d:\d\d:\d\d UTC$"))
    await switch.click()
    await expect(page.locator("#announced")).to_have_text("Updates are paused.")
    await page.reload()
    for tab in (page, other):
        switch = tab.get_by_role("button", name="Pause updates")
        await expect(switch).to_have_attribute("aria-pressed", "true")
        await expect(tab.locator("#updates-at")).to_have_text(re.compile("^Updates are paused"))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await place.emit("user.updated", {})
    await page.locator("[data-live]").dispatch_event("every")
    await page.evaluate("() => new Promise((done) => setTimeout(done))")
    assert asked == []
    await page.get_by_role("button", name="Pause updates").click()
    for tab in (page, other):
        await expect(tab.get_by_role("link", name="1 new, show")).to_be_visible()


async def test_a_hidden_tab_is_quiet_and_updates_once_when_it_is_shown(
    page: Page, place: Place
) -> None:
    await page.clock.install(time=NOON - timedelta(minutes=1))
    await page.goto(f"/e/{place.environment_id}/events")
    await expect(page.get_by_role("heading", name="No events yet")).to_be_visible()
    await page.clock.pause_at(NOON)
    await update(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.evaluate(HIDE, arg=True)
    await page.clock.run_for(60_000)
    await place.emit("user.created", {})
    assert asked == []
    await page.evaluate(HIDE, arg=False)
    await expect(page.locator("tbody tr")).to_have_count(1)
    await expect(page.locator("#fault")).to_be_hidden()
    assert len(asked) == 1


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_axe_finds_no_problem_while_updates_wait_or_fail(
    browsing: Browsing, place: Place, receiver: Receiver, theme: Literal["light", "dark"]
) -> None:
    page = await browsing.open(place.token, color_scheme=theme)
    webhook = await place.webhook(receiver.url, retry=NEVER)
    await place.ask("POST", "/api/pause")
    await place.emit("user.created", {})
    await page.goto(f"/webhooks/{webhook['id']}?status=PENDING")
    await expect(page.locator("tbody tr")).to_have_count(1)
    await place.ask("POST", "/api/resume")
    await expect(page.locator(".gone")).to_have_count(1)
    problems = await violations(page)
    browsing.expected.add(401)
    await page.context.clear_cookies()
    await expect(page.get_by_role("link", name="Sign in")).to_be_visible()
    assert problems + await violations(page) == []


# ── a page that cannot update ────────────────────────────────────────────────────────────────────


class Failing:
    """A daemon of one's own, with a page that it keeps up to date, and what may go wrong."""

    def __init__(self, daemons: Daemons, api: Api, token: str, page: Page) -> None:
        self.daemons = daemons
        self.api = api
        self.token = token
        self.page = page

    @asynccontextmanager
    async def database_down(self, server: Connection) -> AsyncIterator[None]:
        name = URL(self.api.dsn).path.strip("/")
        await server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name
        )
        try:
            yield
        finally:
            await server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

    @asynccontextmanager
    async def daemon_down(self, _: Connection) -> AsyncIterator[None]:
        port = URL(self.api.address).port
        await self.daemons.stop(self.api.daemon)
        yield
        await self.daemons.start(admin={"port": port})

    @asynccontextmanager
    async def no_answer(self, _: Connection) -> AsyncIterator[None]:
        """Requests are sent, and nothing comes back."""
        await self.page.route("**/*", lambda _: None)
        yield
        await self.page.unroute("**/*")

    @asynccontextmanager
    async def session_over(self, _: Connection) -> AsyncIterator[None]:
        """Until the person signs in, in another tab."""
        await self.page.context.clear_cookies()
        yield
        await sign_in(self.page.context, self.api, self.token)


async def sign_in(context: BrowserContext, api: Api, token: str) -> None:
    link = f"{api.address}{api.daemon.dashboard.login_link(token)}"
    await context.request.get(link, max_redirects=0)


@pytest.fixture
async def failing(chromium: Browser, dsn: str) -> AsyncIterator[Failing]:
    daemons = Daemons(dsn, Cipher(bytes.fromhex(KEY)))
    async with served(daemons, dsn) as api:
        context = await chromium.new_context(base_url=api.address)
        token = await api.token()
        await sign_in(context, api, token)
        yield Failing(daemons, api, token, await context.new_page())
        await context.close()
    await daemons.end()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Failing.database_down, "The daemon has no database, or too much to do. Trying again …"),
        (Failing.daemon_down, "The daemon does not answer. Trying again …"),
        (Failing.no_answer, "The daemon does not answer. Trying again …"),
        (Failing.session_over, "Your session has ended. Sign in"),
    ],
)
async def test_a_page_that_cannot_update_says_so_within_5_s_and_comes_back_by_itself(
    failing: Failing,
    maintenance: Connection,
    fault: Callable[[Failing, Connection], Any],
    words: str,
) -> None:
    """The seconds are those of the page's clock, which stands still while the test is slow."""
    page, notice = failing.page, failing.page.locator("#fault")
    await page.clock.install(time=NOON - timedelta(minutes=1))
    await page.goto("/e/env_default/webhooks")
    await page.goto("/e/env_default/events?type=user.*")
    await page.clock.pause_at(NOON)
    await update(page)
    await page.get_by_label("Id").fill("evt_1")
    await expect(notice).to_be_hidden()
    async with fault(failing, maintenance):
        await page.clock.run_for(5000)
        await expect(notice).to_be_visible()
        await expect(notice).to_have_text(
            f"Not updated since 12:00:00 UTC. {words}", timeout=60_000
        )
        await expect(page.locator("[data-live]")).to_have_css("filter", "grayscale(1)")
        await expect(page.locator("#announced")).to_have_text(re.compile("^Not updated since 12"))
    await page.clock.resume()
    await expect(notice).to_be_hidden(timeout=60_000)
    await expect(page.locator("[data-live]")).to_have_css("filter", "none")
    await expect(page.locator("#announced")).to_have_text("The page is updated again.")
    await expect(page.get_by_label("Id")).to_have_value("evt_1")


async def test_a_session_that_has_ended_leads_to_sign_in_and_back_to_the_same_place(
    page: Page, place: Place, browsing: Browsing
) -> None:
    browsing.expected.add(401)
    await page.goto("/events?type=user.*&since=2026-01-01T00%3A00")
    address = page.url
    await page.context.clear_cookies()
    await page.get_by_role("link", name="Sign in").click()
    await page.get_by_label("Token").fill(place.token)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Events")
    assert page.url == address
    await expect(page.get_by_label("Type")).to_have_value("user.*")
