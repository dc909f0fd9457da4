"""Events at a steady rate, and what arrived of them: when its attempt began, and who signed it."""

import asyncio
import hashlib
import hmac
import time
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import orjson

from tests.conftest import connected
from tests.end_to_end.stories import Story
from tests.receivers import Request

BATCH = 10
UNKNOWN = "unknown"


class Load:
    """`emitted` events `{"n": 0}` and so on so far."""

    def __init__(self) -> None:
        self.emitted = 0
        self.ends = asyncio.Event()


@asynccontextmanager
async def load(
    dsn: str, *, rate: int = 400, environment_id: str = "env_default"
) -> AsyncIterator[Load]:
    """`rate` events a second, until the block is left."""
    running = Load()
    emitting = asyncio.create_task(_emit(running, dsn, rate, environment_id))
    try:
        yield running
    finally:
        running.ends.set()
        await emitting


async def _emit(running: Load, dsn: str, rate: int, environment_id: str) -> None:
    began = time.monotonic()
    async with connected(dsn) as connection:
        while not running.ends.is_set():
            await connection.execute(
                "INSERT INTO dispatcher.events (type, environment_id, data) SELECT 'user.created',"
                " $1, json_build_object('n', n) FROM generate_series($2::int, $3::int) AS n",
                environment_id,
                running.emitted,
                running.emitted + BATCH - 1,
            )
            running.emitted += BATCH
            due = began + running.emitted / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request that arrived.

    `started_at` is the recorded time. `signed` names, by scheme, the secrets of its signatures, in
    their order.
    """

    started_at: float
    path: str
    n: int
    signed: Mapping[str, tuple[str, ...]]

    @property
    def single(self) -> set[str]:
        """Return the signers in the headers that hold one signature."""
        return {*self.signed["body-hex"], *self.signed["timestamped-hex"]}

    @property
    def listed(self) -> set[tuple[str, ...]]:
        """Return the signers in the headers that hold a list of signatures."""
        return {self.signed["standard"], self.signed["stripe"]}


async def attempts(
    story: Story, requests: Iterable[Request], secrets: Mapping[str, str]
) -> list[Attempt]:
    """In the order of their starts. `secrets` by the names they are to be known under."""
    rows = await story.connection.fetch(
        "SELECT 'dlv_' || delivery_id AS delivery, attempt::text AS attempt,"
        " extract(epoch FROM started_at)::float8 AS started_at FROM dispatcher.attempts"
    )
    started = {(row["delivery"], row["attempt"]): row["started_at"] for row in rows}
    arrived = [
        Attempt(
            started[r.headers["X-Dispatcher-Delivery"], r.headers["X-Dispatcher-Attempt"]],
            r.path,
            orjson.loads(r.body)["data"]["n"],
            signed_by(r, secrets),
        )
        for r in requests
    ]
    return sorted(arrived, key=lambda one: one.started_at)


def signed_by(request: Request, secrets: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """KeyError: a header is missing. Computed as the schemes are described, with none of our code."""
    headers, body = request.headers, request.body
    stripe = [part.split("=", 1) for part in headers["X-Dispatcher-Stripe-Signature"].split(",")]
    (stripe_time,) = [value for name, value in stripe if name == "t"]
    standard_time = headers["webhook-timestamp"]
    standard = f"{headers['webhook-id']}.{standard_time}.".encode() + body
    hex_timed = headers["X-Dispatcher-Timestamp"].encode() + b"." + body
    stripe_timed = stripe_time.encode() + b"." + body

    def found(signature: str, candidates: Mapping[str, str]) -> str:
        return next((n for n, made in candidates.items() if made == signature), UNKNOWN)

    def by_hex(message: bytes, prefix: str = "") -> dict[str, str]:
        return {n: prefix + _mac(s.encode(), message).hex() for n, s in secrets.items()}

    in_base64 = {
        n: "v1," + b64encode(_mac(b64decode(s), standard)).decode() for n, s in secrets.items()
    }
    of_stripe = by_hex(stripe_timed)
    return {
        "body-hex": (found(headers["X-Dispatcher-Signature"], by_hex(body, "sha256=")),),
        "timestamped-hex": (
            found(headers["X-Dispatcher-Timestamped-Signature"], by_hex(hex_timed)),
        ),
        "standard": tuple(found(s, in_base64) for s in headers["webhook-signature"].split(" ")),
        "stripe": tuple(found(value, of_stripe) for name, value in stripe if name == "v1"),
    }


def _mac(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()


def each_once(arrived: Iterable[Attempt], count: int) -> bool:
    """Return True if each event of a load came exactly once."""
    return Counter(one.n for one in arrived) == dict.fromkeys(range(count), 1)
