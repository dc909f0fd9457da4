"""The receivers' side of a campaign: a process of its own that keeps a ledger of all it got and said.

`python -m tests.campaign.receiver` reads one line of JSON from standard input (`Orders`), prints its
port, and serves until standard input ends. Each path is an endpoint. The ledger has one line of
JSON an arrival and one an answer that was handed to the network whole.
"""

import asyncio
import hashlib
import json
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from io import TextIOWrapper
from itertools import count
from pathlib import Path

from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError


@dataclass(frozen=True, slots=True)
class Manner:
    """The behaviour of an endpoint: the share of requests that it refuses, and its delay."""

    secret: str
    refuses: float = 0.0
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Orders:
    ledger: str
    seed: int
    manners: Mapping[str, Manner]


def arrival(serial: int, request: web.Request, body: bytes, secret: str) -> dict[str, object]:
    headers = request.headers
    try:
        document = Webhook(secret).verify(body, dict(headers))
        fault = ""
    except WebhookVerificationError as error:
        document, fault = json.loads(body), str(error)
    return {
        "serial": serial,
        "at": time.time(),
        "endpoint": request.path,
        "event": headers["webhook-id"],
        "delivery": headers["X-Dispatcher-Delivery"],
        "attempt": int(headers["X-Dispatcher-Attempt"]),
        "timestamp": int(headers["webhook-timestamp"]),
        "n": document["data"]["n"],
        "type": document["event"],
        "body": hashlib.sha256(body).hexdigest(),
        "fault": fault,
    }


class LedgerReceiver:
    def __init__(self, orders: Orders, ledger: TextIOWrapper) -> None:
        self._orders = orders
        self._ledger = ledger
        self._serials = count()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        manner = self._orders.manners[request.path]
        body = await request.read()
        serial = next(self._serials)
        arrived = arrival(serial, request, body, manner.secret)
        self._write(arrived)
        await asyncio.sleep(manner.delay)
        status = 500 if self._chance(serial) < manner.refuses else 200
        response = web.StreamResponse(status=status, headers={"Content-Length": "0"})
        try:
            await response.prepare(request)
            await response.write_eof()
        except ConnectionError:  # the sender was killed while it waited
            return response
        self._write({"serial": serial, "at": time.time(), "status": status})
        return response

    def _chance(self, serial: int) -> float:
        drawn = hashlib.sha256(f"{self._orders.seed}/{serial}".encode()).digest()
        return int.from_bytes(drawn[:4]) / 2**32

    def _write(self, line: dict[str, object]) -> None:
        self._ledger.write(json.dumps(line) + "\n")


async def serve(orders: Orders, standard_input: asyncio.StreamReader) -> None:
    with Path(orders.ledger).open("w", encoding="utf-8") as ledger:  # noqa: ASYNC230 - its own file
        receiver = LedgerReceiver(orders, ledger)
        app = web.Application(client_max_size=2**24)
        app.router.add_post("/{path:.*}", receiver.answer)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1)
        await runner.setup()
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        await web.SockSite(runner, listener).start()
        print(listener.getsockname()[1], flush=True)
        await standard_input.read()
        await runner.cleanup()


async def main() -> None:
    reader = asyncio.StreamReader(limit=2**20)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    orders = json.loads(await reader.readline())
    manners = {path: Manner(**manner) for path, manner in orders["manners"].items()}
    await serve(Orders(orders["ledger"], orders["seed"], manners), reader)


def orders_line(orders: Orders) -> bytes:
    return json.dumps(asdict(orders)).encode() + b"\n"


if __name__ == "__main__":
    asyncio.run(main())
