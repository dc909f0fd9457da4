"""`make screenshots`: the pictures of docs/dashboard.md, one of every page.

python -m tests.dashboard.screenshots [--into DIRECTORY] [--every]

`--every` also takes every page narrow and dark, to look at.
"""

import argparse
import asyncio
import math
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import click
from playwright.async_api import Browser, Page, async_playwright

from dispatcher.core import histogram
from dispatcher.embedded_postgres.server import EmbeddedPostgres
from dispatcher.encryption.cipher import Cipher
from dispatcher.store.migration.migrate import migrate
from tests.api.conftest import Api, served
from tests.conftest import Connection, connected
from tests.dashboard.browser.browsing import NARROW, WIDE, found
from tests.dashboard.scene import Director, Scene
from tests.end_to_end.shell import KEY
from tests.end_to_end.stories import Daemons, Story
from tests.receivers import Receiver

DOCS = Path(__file__).parents[2] / "docs"
TALLEST = 1400
SHORT = ("webhook", "deliveries", "delivery-curl", "events", "audit")
"""Long pages whose pictures are as high as a window."""
PAGES = (
    "sign-in",
    "overview",
    "overview-table",
    "search",
    "deliveries",
    "causes",
    "bulk-preview",
    "bulk-action",
    "webhooks",
    "webhook-new",
    "webhook-secret",
    "webhook",
    "webhook-disabled",
    "webhook-settings",
    "webhook-credentials",
    "webhook-recoveries",
    "webhook-history",
    "delivery",
    "delivery-pending",
    "delivery-failed",
    "delivery-curl",
    "events",
    "event",
    "event-new",
    "event-types",
    "event-type",
    "quarantine",
    "tokens",
    "audit",
    "not-found",
)
"""The pages that are photographed, by the names of their pictures."""
ADDRESSES = {
    "User sync": "https://support.example.com/hooks/users",
    "Billing": "https://billing.example.com/v2/dispatcher",
    "Warehouse": "https://warehouse.example.net/in",
    "Search index": "https://search.example.com/ingest",
    "Legacy CRM": "https://crm.example.org/webhooks",
}
RENAME = """
    UPDATE dispatcher.tokens
    SET name = CASE WHEN coalesce(environment_id, '*') = '*' THEN 'Jane Doe' ELSE 'Seed script' END
    WHERE name = 'of a test'
"""


@dataclass(frozen=True, slots=True)
class Look:
    """The form in which a page is shown; `suffix` tells its pictures from others."""

    suffix: str
    narrow: bool
    theme: str

    def of(self, name: str) -> str:
        return f"{name}{self.suffix}.png"


WIDE_LIGHT = Look("", False, "light")
LOOKS = (
    WIDE_LIGHT,
    Look("-dark", False, "dark"),
    Look("-narrow", True, "light"),
    Look("-narrow-dark", True, "dark"),
)
LAST = ("bulk-preview", "bulk-action")
"""Taken last, because they change what other pages show."""
ALSO_TAKEN = {
    "-dark": ("overview", "webhook"),
    "-narrow": ("webhooks", "deliveries", "delivery-pending"),
    "-narrow-dark": ("overview",),
}


@dataclass(frozen=True, slots=True)
class Studio:
    """A browser, somebody's token for the dashboard, and where the pictures go."""

    browser: Browser
    api: Api
    scene: Scene
    token: str
    into: Path

    async def photograph(self, look: Look, names: Collection[str]) -> None:
        """The pages that are named."""
        context = await self.browser.new_context(
            viewport=NARROW if look.narrow else WIDE,
            color_scheme="dark" if look.theme == "dark" else "light",
            base_url=self.api.address,
            reduced_motion="reduce",
        )
        page = await context.new_page()
        for name in sorted(names, key=LAST.__contains__):
            await self._go(page, name)
            await self._save(page, look.of(name), WIDE["height"] if name in SHORT else TALLEST)
        await context.close()

    async def _go(self, page: Page, name: str) -> None:
        if name == "sign-in":
            await page.goto("/sign-in")
            return
        if not await page.context.cookies():
            await page.goto(self.api.daemon.dashboard.login_link(self.token))
        if name == "webhook-secret":
            await page.goto(f"/webhooks/{self.scene.webhooks['User sync']}")
            await page.get_by_role("button", name="Rotate secret").click()
            await page.get_by_role("dialog").get_by_role("button", name="Rotate secret").click()
            await page.locator("#secret").wait_for()
        elif name == "bulk-preview":
            await page.goto(self.scene.pages["deliveries-filtered"])
            await page.get_by_role("button", name="Retry all…").click()
            await page.get_by_role("heading", name="deliveries?").wait_for()
        elif name == "bulk-action":
            await page.get_by_role("button", name=re.compile("^Retry [0-9]+")).click()
            await page.get_by_text("done", exact=True).wait_for()
        elif name == "delivery-curl":
            await page.goto(self.scene.pages["delivery-failed"])
            await page.get_by_role("button", name="Copy as curl…").click()
            await page.locator("#curl pre").wait_for()
            await page.locator("#curl").evaluate("element => element.scrollIntoView()")
        elif name == "not-found":
            await page.goto("/deliveries/dlv_1_1_1")
        else:
            await page.goto(self.scene.pages[name])

    async def _save(self, page: Page, name: str, tallest: int) -> None:
        """The whole page, unless it is very long."""
        width = await page.evaluate("innerWidth")
        height = await page.evaluate("document.documentElement.scrollHeight")
        await page.set_viewport_size({"width": width, "height": min(height, tallest)})
        await page.wait_for_load_state("networkidle")
        await page.screenshot(path=self.into / name)
        usual = NARROW if width == NARROW["width"] else WIDE
        await page.set_viewport_size(usual)
        click.echo(name)


async def take(into: Path, *, every: bool) -> None:
    """Raises RuntimeError where no browser is found."""
    path = found()
    if path is None:
        raise RuntimeError("no browser is found: apt install chromium")
    async with stage() as (api, scene, token), async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        studio = Studio(browser, api, scene, token, into)
        for look in LOOKS:
            await studio.photograph(look, PAGES if every else pages(look))
        await browser.close()


@asynccontextmanager
async def stage() -> AsyncIterator[tuple[Api, Scene, str]]:
    """A daemon on a database of its own, with a day behind it."""
    with open_directory() as directory, EmbeddedPostgres(directory / "postgres") as postgres:
        async with connected(postgres.dsn) as connection:
            await migrate(connection)
            daemons = Daemons(postgres.dsn, Cipher(bytes.fromhex(KEY)))
            async with served(daemons, postgres.dsn) as api:
                token = await api.token()
                yield api, await act(api, connection), token
            await daemons.end()


@contextmanager
def open_directory() -> Iterator[Path]:
    """One that root's server, which is another user's process, can enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o711)
        yield Path(name)


async def act(api: Api, connection: Connection) -> Scene:
    ask = api.client_with_token(await api.token("admin", "env_default"))
    async with Receiver() as well, Receiver() as badly:
        scene = await Director(ask, "env_default", well, badly, rounds=5).set()
    story = Story(api.dsn, connection, Cipher(bytes.fromhex(KEY)))
    for name, url in ADDRESSES.items():
        await story.change(UUID(scene.webhooks[name]), url=url)
    await remember(connection, scene)
    await connection.execute(RENAME)
    return scene


async def remember(connection: Connection, scene: Scene) -> None:
    """Sums of the last day, as if it had been a busy one."""
    now = datetime.now(UTC)
    busy = {"User sync": 120, "Billing": 36, "Warehouse": 75, "Search index": 270}
    for name, peak in busy.items():
        await connection.executemany(
            "INSERT INTO dispatcher.endpoint_statistics VALUES ($1, $2, $3, $4, $5, 0, $6, $7)"
            " ON CONFLICT DO NOTHING",
            [(scene.webhooks[name], *row) for row in sums(now, 1800, 48, peak, name == "Billing")],
        )
    for environment in ("env_default", "*"):
        for span, count, peak in ((600, 144, 160), (10, 360, 9)):
            await connection.executemany(
                "INSERT INTO dispatcher.environment_statistics"
                " VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $8) ON CONFLICT DO NOTHING",
                [(environment, span, *row) for row in sums(now, span, count, peak, False)],
            )


def sums(
    now: datetime, span: int, count: int, peak: int, failing: bool
) -> Iterator[tuple[datetime, int, int, int, int, list[int]]]:
    """Bucket, attempts, failures, delivered, milliseconds, durations: of `count` spans of time."""
    last = math.floor(now.timestamp() / span) * span
    for back in range(1, count):
        wave = 0.55 + 0.35 * math.sin(back / count * 5.5) + 0.1 * math.sin(back * 1.7)
        attempts = max(1, round(peak * wave))
        broken = failing and back < count // 8
        failures = attempts if broken else (attempts // 12 if back % 11 == 0 else 0)
        durations = list(histogram.EMPTY)
        for number in range(attempts):
            typical = 18 + 9 * math.sin(back / 9) + (110 if number % 23 == 0 else number % 7)
            durations[histogram.bin_of(round(typical))] += 1
        at = datetime.fromtimestamp(last, UTC) - timedelta(seconds=back * span)
        yield at, attempts, failures, attempts - failures, attempts * 24, durations


def pictures() -> set[str]:
    """The names of the files that are taken without `--every`."""
    return {look.of(name) for look in LOOKS for name in pages(look)}


def pages(look: Look) -> tuple[str, ...]:
    return PAGES if look is WIDE_LIGHT else ALSO_TAKEN[look.suffix]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.dashboard.screenshots")
    parser.add_argument("--into", type=Path, default=DOCS / "screenshots")
    parser.add_argument("--every", action="store_true", help="also each page narrow and dark")
    asked = parser.parse_args()
    asked.into.mkdir(parents=True, exist_ok=True)
    try:
        asyncio.run(take(asked.into, every=asked.every))
    except RuntimeError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
