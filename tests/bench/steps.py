"""The microseconds of each step of one POST on a kept connection, without network and kernel.

Each step runs alone many times, and its fastest time counts: others use the machine too.
"""

import asyncio
import base64
from collections.abc import Callable
from time import monotonic, perf_counter
from typing import Any, cast
from uuid import UUID

import uvloop

from dispatcher.core.model import Delivery, Endpoint, Event
from dispatcher.core.request_headers import RequestBuilder
from dispatcher.core.signing import HeaderNames
from dispatcher.transport.connecting.connections import Connections
from dispatcher.transport.exchanging.exchange import Connection
from tests.bench.bare import BODY
from tests.bench.receiver import ANSWER
from tests.bench.transport import HEADERS, NAMES, VALUES, new_sender

URL = "https://hooks.example.com/hook"
REPETITIONS, ROUNDS = 300, 300


class _Wire:
    """A transport that leads nowhere."""

    def write(self, data: bytes) -> None: ...
    def abort(self) -> None: ...
    def set_write_buffer_limits(self, **_: int) -> None: ...
    def get_extra_info(self, name: str) -> None: ...
    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0


def fastest(step: Callable[[], Any]) -> float:
    """Return the microseconds of one call."""
    best = 1.0
    for _ in range(ROUNDS):
        began = perf_counter()
        for _ in range(REPETITIONS):
            step()
        best = min(best, perf_counter() - began)
    return best / REPETITIONS * 1e6


def _request() -> Callable[[], Any]:
    names = HeaderNames("X-Signature", "X-Hex", "X-Time", "X-Stripe")
    builder = RequestBuilder(brand="Dispatcher", schemes=("body-hex", "standard"), names=names)
    secret = "whsec_" + base64.b64encode(b"x" * 32).decode()
    endpoint = Endpoint(
        UUID(int=1), "env_default", URL, True, False, secret, None, None, {}, None, None, None, None, None,
    )  # fmt: skip
    delivery = Delivery(385000000000000001, 385000000000000002, endpoint.id, 3, 0, 0, 0.0)
    event = Event(385000000000000002, "user.created", BODY)
    return lambda: builder.build(delivery, endpoint, event, 1772107200.5, 1772107200.5)


def _kept(connections: Connections) -> Connection:
    """Return a connection that leads nowhere and was used before."""
    connection = Connection(
        asyncio.get_running_loop(),
        connections._body_turns,
        connections._deadlines,
        on_idle=connections._keep,
        on_lost=connections._forget,
    )
    connection.connection_made(cast(asyncio.Transport, _Wire()))
    connection.served = 1
    return connection


async def steps() -> list[tuple[str, float]]:
    """Return the steps and their microseconds."""
    async with new_sender(8) as sender:
        target = sender._target(URL)
        pool = sender._connections
        connection = _kept(pool)
        opened = pool._made[connection] = pool._connections_to(target.origin)

        began = monotonic()

        def exchange() -> None:
            connection.post(b"", BODY, 16_384, 15.0, began)

        def answered() -> None:
            exchange()
            connection.data_received(ANSWER)
            pool.take(target.origin, 0.0)

        sent = fastest(exchange)
        timings = [
            ("sign, and make the headers that vary", fastest(_request())),
            ("find the target of a URL", fastest(lambda: sender._target(URL))),
            (
                "write the head",
                fastest(lambda: sender._heads.build(target.start, HEADERS, 200, NAMES, VALUES)),
            ),
            ("start the exchange, with its deadline", sent),
            ("parse the answer, keep and take the connection", fastest(answered) - sent),
        ]
        opened.count = 0
        return timings


def measure() -> list[str]:
    """Return the lines of a report."""
    timings = uvloop.run(steps())
    total = sum(microseconds for _, microseconds in timings)
    return [f"  {took:5.2f} µs  {step}" for step, took in (*timings, ("all of these", total))]
