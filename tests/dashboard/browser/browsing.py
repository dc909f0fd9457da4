"""Pages in a browser. Errors of the console and failed requests are collected."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Page,
    Request,
    Response,
    ViewportSize,
)

from tests.api.conftest import Api, Client

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDE: ViewportSize = {"width": 1440, "height": 900}
SITE = "dispatcher.test"
"""A name that leads to this machine, as do all below it: neither local nor secure to a browser."""
NARROW: ViewportSize = {"width": 390, "height": 844}
VIOLATIONS = """
    addEventListener("securitypolicyviolation", (event) => console.error(
        `policy violated: ${event.violatedDirective} by ${event.blockedURI} ${event.sample}`));
"""


def found() -> str | None:
    """The path of a Chromium or Chrome of this machine."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@dataclass(frozen=True, slots=True)
class Place:
    """An environment of one test's own, with the token and an API client of its administrator."""

    environment_id: str
    token: str
    ask: Client

    async def webhook(self, url: str, *events: str, **wishes: object) -> Any:
        """A new webhook for all types, or for these, as the API describes it."""
        form = {"url": url, "events": list(events or ("*",)), **wishes}
        answer = await self.ask("POST", "/api/webhooks", form)
        return answer.data

    async def emit(self, type_: str, data: object) -> str:
        """The id of the event."""
        answer = await self.ask("POST", "/api/events", {"type": type_, "data": data})
        name: str = answer.data["id"]
        return name


class Browsing:
    """Opens browsers without cookies, and collects complaints.

    `complaints` are lines on the console, violations of the policy, dialogs, requests to other
    hosts, and failures. `expected` are statuses below 500 that a test provokes: a browser notes
    them on its console.
    """

    def __init__(self, browser: Browser, api: Api) -> None:
        self.complaints: list[str] = []
        self.expected: set[int] = set()
        self._browser = browser
        self._api = api
        self._contexts: list[BrowserContext] = []

    async def open(self, token: str | None = None, **options: Any) -> Page:
        """Return an empty page of a new browser.

        It is signed in by a link if a token is given; `options` are those of Playwright's contexts.
        """
        options = {"viewport": WIDE, "base_url": self._api.address, **options}
        context = await self._browser.new_context(**options)
        self._contexts.append(context)
        await context.grant_permissions(["clipboard-read", "clipboard-write"])
        await context.add_init_script(VIOLATIONS)
        context.on("console", self._heard)
        context.on("weberror", lambda error: self.complaints.append(f"error: {error.error}"))
        context.on("dialog", self._asked)
        context.on("request", self._requested)
        context.on("response", self._answered)
        page = await context.new_page()
        if token is not None:
            await context.request.get(self._api.daemon.dashboard.login_link(token), max_redirects=0)
        return page

    async def close(self) -> None:
        for context in self._contexts:
            await context.close()

    def _heard(self, message: ConsoleMessage) -> None:
        provoked = any(f"with a status of {status}" in message.text for status in self.expected)
        if message.type in ("error", "warning") and not provoked:
            self.complaints.append(f"{message.type}: {message.text} {message.location}")

    async def _asked(self, dialog: Dialog) -> None:
        self.complaints.append(f"a dialog: {dialog.message}")
        await dialog.dismiss()

    def _requested(self, request: Request) -> None:
        if not request.url.startswith((f"{self._api.address}/", "data:")):
            self.complaints.append(f"another host: {request.url}")

    def _answered(self, response: Response) -> None:
        if response.status >= 500:
            self.complaints.append(f"{response.status}: {response.url}")


VENDOR = Path(__file__).parent / "vendor"
PROTRUDING = """() => {
    const width = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= width) return [];
    const found = [...document.querySelectorAll("body *")].filter(
        (element) => element.getBoundingClientRect().right > width);
    const told = found.filter((element) => !element.closest("thead, .scroll"));
    return ["the page", ...told.slice(0, 4).map((element) => element.outerHTML.slice(0, 120))];
}"""


async def protruding(page: Page) -> list[str]:
    """Return the elements that are wider than the window."""
    elements: list[str] = await page.evaluate(PROTRUDING)
    return elements
