"""Live updates hold still, can be paused, and say when they fail."""

import asyncio
import random
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from playwright.async_api import Page, expect

from tests.api.conftest import Api
from tests.conftest import connected
from tests.dashboard.browser.browsing import Place
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
        window.opened.push(link.getAttribute("href"));
        event.preventDefault();
    }, true);
}"""
PLACES = """() => [...document.querySelectorAll("tbody tr")].map((row) => {
    const { top, height } = row.getBoundingClientRect();
    return [row.id, Math.round(top), Math.round(height)];
})"""
MIDDLE = """(row) => {
    const { left, top, width, height } = row.querySelector("a").getBoundingClientRect();
    return [left + width / 2, top + height / 2];
}"""
EMITTED = """
    INSERT INTO dispatcher.events (type, data, environment_id)
    SELECT 'user.created', '{}', $1 FROM generate_series(1, 10)
"""
NEVER: dict[str, Any] = {"retries": 0}


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
    """Meanwhile banners appear above the list and go, and rows change."""
    webhook = await place.webhook(receiver.url, retry=NEVER)
    draw = random.Random(50)
    async with emitting(standing.dsn, place.environment_id):
        await receiver.wait_for(100)
        await page.goto(f"/webhooks/{webhook['id']}")
        await page.evaluate(RECORD)
        rows, waiting = page.locator("tbody tr"), page.locator(".new-rows a")
        wanted = []
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
            pointed, aimed = rows.nth(draw.randrange(5)), rows.nth(draw.randrange(5))
            await page.mouse.move(*await pointed.evaluate(MIDDLE))
            wanted.append(f"/deliveries/{await aimed.get_attribute('id')}")
            x, y = await aimed.evaluate(MIDDLE)
            await update(page)
            await page.mouse.click(x, y)
        await expect(waiting).to_have_text(re.compile(r"^\d+\+? new, show$"))
    opened = [href[href.index("/deliveries/") :] for href in await page.evaluate("opened")]
    assert opened == wanted
    assert len(set(wanted)) > 20
