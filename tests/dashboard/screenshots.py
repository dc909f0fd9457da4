"""`make screenshots`: pictures of every page, with docs/dashboard.md that shows them.

python -m tests.dashboard.screenshots [--into DIRECTORY] [--every]

`--every` also takes every page narrow and dark, to look at, and writes no document.
"""

import argparse
import asyncio
import math
import re
import sys
import tempfile
import textwrap
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
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
from dispatcher.store.migrate import migrate
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
SENTENCES: Mapping[str, tuple[str, str]] = {
    "sign-in": ("Signing in", "You sign in with a token, which decides what you can see and do."),
    "overview": (
        "Overview",
        "The speed and success of sending, the backlog, and the daemons. The first line of the "
        "overview says whether all is well; if not, what fails, since when, why, and how much "
        "waits, with the button that mends it. *Lag* is how long the oldest delivery has been due "
        "and is not sent. *Due* are those to be sent now, *scheduled* those that are retried "
        "later, *held* those whose webhook is disabled or rests, or whose sending is paused.",
    ),
    "overview-table": (
        "Overview, as a table",
        "The same figures as text, also for screen readers.",
    ),
    "search": (
        "Search",
        "The box on every page finds an event, a delivery, a webhook by name or URL, a reference, "
        "an idempotency key, an environment, a page, and a text within payloads of a time range. "
        "`/` and Ctrl+K or ⌘K lead to it. The first hit is answered in a sentence. Payloads are "
        "searched piece by piece, and the page says how far it searched.",
    ),
    "deliveries": (
        "Deliveries",
        "*Deliveries* lists those of all webhooks by status, response, error, webhook, event "
        "type, reference and time. If few of very many match, the page says how far it searched, "
        "and goes on by itself. What is ticked, or everything that is filtered, can be retried or "
        "cancelled; the latter is counted first. Such a bulk action runs in the daemon, survives "
        "restarts, and concerns only deliveries that existed when it was counted.",
    ),
    "causes": ("Failures by cause", "What has failed and was not sent again, grouped."),
    "bulk-preview": (
        "A bulk action, counted",
        "Everything that is filtered is counted before it is sent again or cancelled.",
    ),
    "bulk-action": ("A bulk action", "Its progress, and what it left as it was."),
    "webhooks": (
        "Webhooks",
        "Found by name, URL and state; each with its last 24 hours: success, latency and pending deliveries.",
    ),
    "webhook-new": (
        "Create webhook",
        "Event types are chosen from a list, or matched by patterns.",
    ),
    "webhook-secret": ("Signing secret", "It is shown once, with code that verifies deliveries."),
    "webhook": ("A webhook's deliveries", "Live, by status, type and time."),
    "webhook-disabled": ("A disabled webhook", "Why, and what happens to what is pending."),
    "webhook-settings": ("Settings", "Headers, limits, and the retry schedule spelled out."),
    "webhook-credentials": (
        "Credentials",
        "Password, access token and certificates, replaced or removed, and never shown.",
    ),
    "webhook-recoveries": (
        "Recoveries",
        "Failed and missed deliveries are counted, then sent again.",
    ),
    "webhook-history": ("History", "Who changed the webhook, with the values before and after."),
    "delivery": (
        "A delivery",
        "Every attempt: what was sent, what came back, how long each phase took. Successive "
        "attempts that went alike are folded; of others the page says what changed: status, "
        "error, headers, body. Headers such as `Date` and request ids do not count. Payloads and "
        "answers in JSON are set out; the exact bytes are one click away, and to download. Of a "
        "payload over 64 KiB, the page shows the beginning. *Newer* and *Older* lead along the "
        "list, with its filter, from which the delivery or event was opened.",
    ),
    "delivery-pending": ("A delivery that is retried", "The error in words, and a countdown."),
    "delivery-failed": ("A delivery that failed", "It has failed, until a user sends it again."),
    "delivery-curl": (
        "Copy as curl",
        "It makes a command that sends the next attempt by hand: the headers and bytes that the "
        "daemon would send now, with a fresh signature, quoted for a POSIX shell. It needs the "
        "scope `support` and is in the audit log, because the receiver cannot tell the request "
        "from a delivery. It holds neither the secret nor credentials: the webhook's own headers, "
        "passwords, access tokens and certificates are placeholders in angle brackets. A payload "
        "over 8 KiB, or with characters that shells or terminals change, is read from the "
        "downloaded file.",
    ),
    "events": ("Events", "Found by id, type and time; each with how its deliveries went."),
    "event": ("An event", "Its data byte for byte, and each of its deliveries."),
    "event-new": ("Emit event", "By hand, from the example of its type."),
    "event-types": ("Event types", "What the application emits, described."),
    "event-type": ("An event type", "With an example, and a schema that can be enforced."),
    "quarantine": ("Quarantine", "Events that do not satisfy their schema, to release or discard."),
    "tokens": ("Tokens", "The tokens of programs and people, with scope and expiry."),
    "audit": (
        "Audit",
        "The audit log names the token or the user of a change and where it was made, and shows "
        "each changed field before and after it. It is filtered by actor and by target. The tab "
        "*History* of a webhook has its own entries, also those of the daemon that disabled it.",
    ),
    "not-found": (
        "An error",
        "It keeps the navigation, and says what happened, why and what to do.",
    ),
}
RULES = (
    "## Environments and links",
    "Every address names its environment, `/e/{environment}/…`, and every form repeats it. So a page",
    "acts on the environment that it shows, also when another tab shows another one. A form that was",
    "loaded for another environment changes nothing (409). A link to an event, a delivery or a webhook",
    "of another environment opens it there if your token allows that; otherwise the answer is 404.",
    "Addresses of earlier versions, without an environment, redirect. If sending is paused, every page",
    "shows since when and by which actor. If your session has ended when you send a form, the dashboard",
    "shows the form again after you sign in, without its passwords and keys.",
    "",
    "## Updates",
    "Lists update themselves and hold still. Rows that are shown change in place; new ones are counted,",
    "as in *12 new, show*, and wait for a click. A row that no longer matches the filter stays until",
    "then, in italics. When something above the pointer grows or goes, the page scrolls with it. *Pause",
    "updates* stops them in this browser until you press it again. A hidden tab requests none, and",
    "updates once when it is shown. If updates fail, the page turns grey within 5 s and says since when",
    "and why: the daemon does not answer, has no database, or your session has ended. It goes on by",
    "itself, and keeps what you have typed; *Sign in* leads back to the same page and filter.",
    "",
    "## Times and copies",
    "Times are relative, with the exact time in UTC beside them. *Local time* shows the exact ones in",
    "the browser's time zone, with its offset; the browser remembers that. Filters stay in UTC. Copy",
    "buttons take ids, URLs and payloads exactly as they are, also characters that a page shows as",
    "codes.",
    "",
    "## Access",
    "Buttons that a token may not use are not shown, and their forms get 403. The scope `support` is for",
    "people who answer questions: it looks, retries, replays and reads the audit log, and changes no",
    "settings.",
    "",
    "## Look",
    "`dashboard.title` is the name that titles, the menu and the sign-in page show. The theme is that of",
    "the system until *Theme* changes it. Pages fit 320 px and more, and rows are high enough for a",
    "finger. Printed, a page has no menu and no buttons, and every URL, payload and attempt is whole,",
    "with exact times. An error keeps the menu, and says what happened, why, and what to do. Everything",
    "works without JavaScript.",
    "",
    "## Protection",
    "Pages are compressed with gzip, except those that show a new secret or token. The CSRF token of a",
    "form is masked with new random bytes each time, and the cookie is `SameSite=Strict`, so the length",
    "of a page tells other sites nothing. Over TLS, the name of the cookie is",
    "`__Host-dispatcher_session`; a proxy reports TLS with `X-Forwarded-Proto: https`. `admin.hosts`",
    "names the hosts that the admin port answers to. Requests for others get 421, except health checks.",
)
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
    """How a page is looked at; `suffix` tells its pictures from others."""

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
SHOWN = {
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
            await page.goto(self.api.daemon.dashboard.invite(self.token))
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
            wanted = every or look is WIDE_LIGHT
            await studio.photograph(look, list(SENTENCES) if wanted else SHOWN[look.suffix])
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
    for name, most in busy.items():
        await connection.executemany(
            "INSERT INTO dispatcher.endpoint_statistics VALUES ($1, $2, $3, $4, $5, 0, $6, $7)"
            " ON CONFLICT DO NOTHING",
            [(scene.webhooks[name], *row) for row in sums(now, 1800, 48, most, name == "Billing")],
        )
    for environment in ("env_default", "*"):
        for span, count, most in ((600, 144, 160), (10, 360, 9)):
            await connection.executemany(
                "INSERT INTO dispatcher.environment_statistics"
                " VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $8) ON CONFLICT DO NOTHING",
                [(environment, span, *row) for row in sums(now, span, count, most, False)],
            )


def sums(
    now: datetime, span: int, count: int, most: int, failing: bool
) -> Iterator[tuple[datetime, int, int, int, int, list[int]]]:
    """Bucket, attempts, failures, delivered, milliseconds, durations: of `count` spans of time."""
    last = math.floor(now.timestamp() / span) * span
    for back in range(1, count):
        wave = 0.55 + 0.35 * math.sin(back / count * 5.5) + 0.1 * math.sin(back * 1.7)
        attempts = max(1, round(most * wave))
        broken = failing and back < count // 8
        failures = attempts if broken else (attempts // 12 if back % 11 == 0 else 0)
        durations = list(histogram.EMPTY)
        for number in range(attempts):
            typical = 18 + 9 * math.sin(back / 9) + (110 if number % 23 == 0 else number % 7)
            durations[histogram.bin_of(round(typical))] += 1
        at = datetime.fromtimestamp(last, UTC) - timedelta(seconds=back * span)
        yield at, attempts, failures, attempts - failures, attempts * 24, durations


def document() -> str:
    """docs/dashboard.md."""
    lines = [
        "# The dashboard",
        "",
        "The daemon serves it at the address of `[admin]`, beside the API. `dispatcher demo` opens on",
        "it, with a one-time login link. `make screenshots` takes these pictures.",
        "",
        *RULES,
    ]
    for name, (title, sentence) in SENTENCES.items():
        text = textwrap.wrap(sentence, 100, break_on_hyphens=False)
        lines += ["", f"## {title}", *text, "", f"![{title}](screenshots/{name}.png)"]
        for look in LOOKS[1:]:
            if name in SHOWN[look.suffix]:
                told = f"{title}, {'narrow' if look.narrow else 'wide'} and {look.theme}"
                lines += ["", f"![{told}](screenshots/{look.of(name)})"]
    return "\n".join([*lines, ""])


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
    if not asked.every:
        (DOCS / "dashboard.md").write_text(document())


if __name__ == "__main__":
    main()
