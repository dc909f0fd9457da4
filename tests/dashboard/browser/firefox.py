"""A Firefox of this machine, driven by WebDriver BiDi over a WebSocket.

Playwright's own Firefox is a patched one, and its BiDi asks an ordinary one for a command that it does
not know (`emulation.setMediaFeaturesOverride`). geckodriver is not part of Debian.
"""

import asyncio
import json
import os
import re
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests import waiting

NAMES = ("firefox-esr", "firefox")
PATIENCE = 60.0
EVENTS = ("log.entryAdded", "network.beforeRequestSent", "network.responseCompleted")
# Whatever Firefox asks of its makers goes to a proxy that is not there.
PREFERENCES: Mapping[str, object] = {
    "network.proxy.type": 1,
    "network.proxy.http": "127.0.0.1",
    "network.proxy.http_port": 9,
    "network.proxy.ssl": "127.0.0.1",
    "network.proxy.ssl_port": 9,
    "network.proxy.no_proxies_on": "127.0.0.1",
    "browser.startup.page": 0,
    "browser.newtabpage.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
}


def found() -> str | None:
    """The path of a Firefox of this machine."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Firefox:
    """One page. `complaints` are errors of its console, other hosts that it asked, and failures."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, address: str) -> None:
        self.complaints: list[str] = []
        self._socket = socket
        self._address = address
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._page = ""
        self._is_leaving = False

    async def listen(self) -> None:
        """Take answers and events until the connection ends."""
        async for message in self._socket:
            document = json.loads(message.data)
            if document["type"] == "event":
                self._note(document["method"], document["params"])
            elif (answer := self._answers.pop(document["id"], None)) and not answer.done():
                answer.set_result(document)

    async def begin(self) -> None:
        await self.command("session.new", capabilities={})
        await self.command("session.subscribe", events=EVENTS)
        tree = await self.command("browsingContext.getTree")
        self._page = tree["contexts"][0]["context"]

    async def command(self, method: str, **params: object) -> Any:
        """Return the result. Raise RuntimeError if Firefox refuses the command."""
        number = max(self._answers, default=0) + 1
        self._answers[number] = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(PATIENCE):
            await self._socket.send_json({"id": number, "method": method, "params": params})
            document = await self._answers[number]
        if document["type"] == "error":
            raise RuntimeError(f"{method}: {document['message']}")
        return document["result"]

    async def goto(self, path: str) -> None:
        """Open a page of the dashboard, and wait until it is loaded.

        Requests of the last page that this cuts short are no complaint.
        """
        url = path if path.startswith("http") else self._address + path
        self._is_leaving = True
        await self._of_page("browsingContext.navigate", url=url, wait="complete")
        self._is_leaving = False

    async def resize(self, width: int, height: int) -> None:
        await self._of_page(
            "browsingContext.setViewport", viewport={"width": width, "height": height}
        )

    async def evaluate(self, expression: str) -> Any:
        """Return the value of an expression, or of its promise."""
        result = await self.command(
            "script.evaluate",
            expression=f"Promise.resolve({expression}).then((found) => JSON.stringify(found) ?? 'null')",
            target={"context": self._page},
            awaitPromise=True,
        )
        if result["type"] == "exception":
            raise RuntimeError(f"{expression[:200]}: {result['exceptionDetails']['text']}")
        return json.loads(result["result"]["value"])

    async def run(self, script: str) -> None:
        """Run a script, whatever it returns."""
        await self.command(
            "script.evaluate",
            expression=script,
            target={"context": self._page},
            awaitPromise=False,
        )

    async def until(self, expression: str) -> None:
        """Wait until an expression is true."""
        asked = f"Boolean({expression})"
        await waiting.until(lambda: self.evaluate(asked), expression, within=PATIENCE)

    async def click(self, selector: str) -> None:
        """Click the first element that matches, with the pointer."""
        result = await self._of_page(
            "browsingContext.locateNodes", locator={"type": "css", "value": selector}
        )
        element = {"type": "element", "element": {"sharedId": result["nodes"][0]["sharedId"]}}
        move = {"type": "pointerMove", "x": 0, "y": 0, "origin": element}
        press, release = ({"type": f"pointer{way}", "button": 0} for way in ("Down", "Up"))
        await self._act("pointer", [move, press, release])

    async def press(self, keys: str) -> None:
        """Press keys one after another."""
        ways = ("keyDown", "keyUp")
        await self._act("key", [{"type": way, "value": key} for key in keys for way in ways])

    async def _act(self, kind: str, actions: list[dict[str, Any]]) -> None:
        await self._of_page(
            "input.performActions", actions=[{"type": kind, "id": kind, "actions": actions}]
        )

    async def _of_page(self, method: str, **params: object) -> Any:
        return await self.command(method, context=self._page, **params)

    def _note(self, method: str, params: Mapping[str, Any]) -> None:
        if method == "log.entryAdded":
            is_cut_short = self._is_leaving and "attempting to fetch" in params["text"]
            if params["level"] in ("error", "warn") and not is_cut_short:
                self.complaints.append(f"{params['level']}: {params['text']}")
        elif method == "network.responseCompleted":
            if params["response"]["status"] >= 500:
                self.complaints.append(
                    f"{params['response']['status']}: {params['request']['url']}"
                )
        elif not params["request"]["url"].startswith((f"{self._address}/", "data:", "about:")):
            self.complaints.append(f"another host: {params['request']['url']}")


@asynccontextmanager
async def started(path: str, directory: Path, address: str) -> AsyncIterator[Firefox]:
    """Start a Firefox with a profile of its own in `directory`, for the dashboard at `address`."""
    lines = (f"user_pref({json.dumps(k)}, {json.dumps(v)});\n" for k, v in PREFERENCES.items())
    (directory / "user.js").write_text("".join(lines))
    args = (
        "--headless",
        "--no-remote",
        "--profile",
        str(directory),
        "--remote-debugging-port",
        "0",
    )
    env = {**os.environ, "HOME": str(directory), "MOZ_HEADLESS": "1"}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        path, *args, env=env, stdout=asyncio.subprocess.DEVNULL, stderr=pipe
    )
    try:
        async with asyncio.timeout(PATIENCE):
            url = await _url(process)
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{url}/session", max_msg_size=0) as socket,
        ):
            firefox = Firefox(socket, address)
            listening = asyncio.create_task(firefox.listen())
            await firefox.begin()
            yield firefox
            await firefox.command("browser.close")
            await listening
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def _url(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    async for line in process.stderr:
        if match := re.search(rb"ws://\S+", line):
            return match[0].decode()
    raise RuntimeError("Firefox ended before it listened")
