"""Whatever others write is shown as text: nothing of it becomes part of a page, hides, or breaks it."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest
from playwright.async_api import Page, expect

from tests.api.conftest import Api
from tests.conftest import Connection
from tests.dashboard.browser.browsing import NARROW, WIDE, Browsing, Place, protruding
from tests.dashboard.browser.conftest import found_place
from tests.receivers import RawReceiver, read_request
from tests.waiting import until

MARKUP = (
    "</title></textarea></code></pre>'\"><script data-marker>window.marked = 1</script>"
    "<img data-marker src=x onerror='window.marked = 1'><svg data-marker onload=alert(1)>"
    "<a data-marker href=javascript:alert(1)>&lt;b&gt; {{ 7 * 7 }} {% raw %} ${7} ]]> -->"
)
LONG = "W" * 3000
CONTROLS = "\x1b[31mred\x1b]0;title\x07\x08\x7f\x9b2J\u202egnp.exe\u2066\u200b\ufeff\u00ad\u2028"
EVERYTHING = f"{MARKUP} {CONTROLS} \U0001f469\u200d\U0001f680 e{chr(0x301) * 40} {LONG}"
PRINTABLE = MARKUP[:180]
MARKED = "() => window.marked ?? document.querySelectorAll('[data-marker]').length"
STRANGE = """() => [...document.querySelectorAll("script, img, svg, a, iframe, object, style, link")]
    .map((element) => element.getAttribute("src") ?? element.getAttribute("href") ?? "")
    .filter((address) => address && !/^(\\/|#|https:\\/\\/www.standardwebhooks.com\\/)/.test(address))"""
TURNED = """() => {
    const bad = /[\\0-\\x08\\x0b-\\x1f\\x7f-\\x9f\\xad\\u061c\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff]/;
    const texts = [document.title, document.body.innerText];
    for (const element of document.querySelectorAll("[title], [aria-label]")) {
        texts.push(element.title, element.ariaLabel ?? "");
    }
    return texts.filter((text) => bad.test(text)).map((text) => JSON.stringify(text.match(bad)));
}"""


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """With all that a head can hold, and a body."""
    await read_request(reader)
    body = EVERYTHING.encode() + b"\x00\xff\xfe" + b"<p>" * 100
    head = (
        f"HTTP/1.1 500 {PRINTABLE}\r\nX-Markup: {MARKUP}\r\nX-Long: {LONG}\r\n"
        f"X-Turned: \u202egnp.exe \u200b\r\nContent-Type: text/html\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    writer.write(head.encode() + body)
    await writer.drain()


@pytest.fixture(scope="module")
async def hostile_place(standing: Api, database: Connection) -> Place:
    return await found_place(standing, database)


@pytest.fixture(scope="module")
async def pages(
    standing: Api, database: Connection, hostile_place: Place
) -> AsyncIterator[dict[str, str]]:
    """Every page on which others' texts are, by name."""
    place = hostile_place
    async with RawReceiver(answer) as receiver:
        webhook = await place.webhook(
            receiver.url + "x?" + quote(PRINTABLE),
            name=PRINTABLE,
            description=f"{MARKUP} {CONTROLS}"[:1000],
            metadata={MARKUP: EVERYTHING},
            retry={"retries": 1, "base": 3600, "jitter": 0},
        )
        long = await place.webhook(
            receiver.url + LONG[:1500], name=LONG[:200], description=LONG[:900]
        )
        for name in ("a.b", "a." + "w" * 120):
            put: dict[str, object] = {
                "description": f"{MARKUP} {CONTROLS}"[:1000],
                "example": {MARKUP: EVERYTHING},
            }
            assert (await place.ask("PUT", f"/api/event-types/{name}", put)).status < 300
        enforced = {"schema": {"type": "object", "required": [MARKUP]}, "enforce": True}
        assert (await place.ask("PUT", "/api/event-types/c.d", enforced)).status < 300
        await place.emit("c.d", {"x": EVERYTHING})
        for name in (PRINTABLE, LONG[:200]):
            form = {"name": name, "scope": "read", "environmentId": place.environment_id}
            assert (await place.ask("POST", "/api/tokens", form)).status < 300
        hostile = {"type": "a.b", "data": {MARKUP: EVERYTHING, "nul": "\x01", "n": 1.10}}
        emitted = await place.ask(
            "POST", "/api/events", hostile, Idempotency_Key=PRINTABLE.replace(" ", "")
        )
        assert emitted.status == 201, emitted.body
        path = f"/api/webhooks/{webhook['id']}/deliveries"

        async def tried() -> bool:
            items = (await place.ask("GET", path)).data["items"]
            return bool(items) and items[0]["attempts"] > 0

        await until(tried, "it was tried")
        delivery = (await place.ask("GET", path)).data["items"][0]["id"]
        yield {
            "overview": "/",
            "webhooks": "/webhooks",
            "webhook": f"/webhooks/{webhook['id']}",
            "long webhook": f"/webhooks/{long['id']}",
            "settings": f"/webhooks/{webhook['id']}/settings",
            "recoveries": f"/webhooks/{webhook['id']}/recoveries",
            "delivery": f"/deliveries/{delivery}",
            "events": "/events",
            "event": f"/events/{emitted.data['id']}",
            "event types": "/event-types",
            "event type": "/event-types/of/a.b",
            "emit": "/events/new?type=a.b",
            "quarantine": "/quarantine",
            "tokens": "/tokens",
            "audit": "/audit",
            "asked events": f"/events?id={quote(MARKUP)}&type={quote(MARKUP)}",
            "asked webhook": f"/webhooks/{webhook['id']}?status={quote(MARKUP)}&event={LONG}",
            "asked audit": f"/audit?actor={quote(MARKUP)}&action={LONG}&subject={quote(EVERYTHING)[:3000]}",
            "flash": f"/webhooks?flash={quote(MARKUP)}",
        }


async def faults(page: Page) -> list[str]:
    """Return the texts of others that are more than text on the page."""
    texts = [f"{await page.evaluate(MARKED)} of others' elements"]
    texts += await page.evaluate(STRANGE)
    texts += await page.evaluate(TURNED)
    for size in (WIDE, NARROW):
        await page.set_viewport_size(size)
        texts += [f"{size['width']}: {element}" for element in await protruding(page)]
    await page.set_viewport_size(WIDE)
    return [text for text in texts if not text.startswith("0 ")]


async def test_hostile_text_is_shown_as_text_on_every_page(
    browsing: Browsing, hostile_place: Place, pages: dict[str, str]
) -> None:
    page = await browsing.open(hostile_place.token)
    faults_by_page = {}
    for name, path in pages.items():
        await page.goto(path)
        if texts := await faults(page):
            faults_by_page[name] = texts
    assert faults_by_page == {}, faults_by_page


async def test_hostile_text_is_shown_in_full(
    browsing: Browsing, hostile_place: Place, pages: dict[str, str]
) -> None:
    page = await browsing.open(hostile_place.token)
    for name in ("webhooks", "webhook", "delivery", "event", "event types", "tokens", "quarantine"):
        await page.goto(pages[name])
        assert "<script data-marker>" in await page.locator("main").inner_text(), name
    await page.goto(pages["delivery"])
    text = await page.locator("main").inner_text()
    for shown in ("\\x1b[31mred", "\\u202egnp.exe", "X-Turned", "window.marked = 1"):
        assert shown in text
    await expect(page.locator("#payload")).to_contain_text('"n": 1.1')


async def test_hostile_text_is_text_in_the_form_where_it_was_typed(
    browsing: Browsing, hostile_place: Place
) -> None:
    page = await browsing.open(hostile_place.token)
    browsing.expected |= {404, 422}
    await page.goto("/webhooks/new")
    await page.get_by_label("URL").fill(f"http://{MARKUP}/")
    await page.get_by_label("Others, or patterns").fill(f"{MARKUP} {LONG}")
    await expect(page.locator("#matches .field-error").first).to_be_visible()
    assert await faults(page) == []
    await page.get_by_role("button", name="Create webhook").click()
    await expect(page.get_by_label("URL")).to_have_value(f"http://{MARKUP}/")
    assert await faults(page) == []
    await page.goto("/events/new")
    await page.get_by_label("Type").fill(MARKUP)
    await page.get_by_label("Data").fill(EVERYTHING)
    await page.get_by_role("button", name="Emit event").click()
    await expect(page.get_by_role("alert").first).to_be_visible()
    assert await faults(page) == []
    await page.goto(f"/event-types/of/{quote(MARKUP, safe='')}")
    assert await faults(page) == []
    await page.goto(f"/{quote(MARKUP, safe='')}")
    assert await page.evaluate(MARKED) == 0


async def test_markup_in_the_name_of_an_environment_is_shown_as_text(
    browsing: Browsing, standing: Api, hostile_place: Place, database: Connection
) -> None:
    await database.execute(
        "UPDATE dispatcher.environments SET name = $1 WHERE id = $2",
        f"{MARKUP} {CONTROLS}",
        hostile_place.environment_id,
    )
    page = await browsing.open(await standing.token())
    await page.goto("/")
    await page.locator("#environment summary").click()
    await expect(page.locator("#environment li", has_text="data-marker")).to_have_count(1)
    assert await faults(page) == []
