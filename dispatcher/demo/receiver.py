"""The receiver of the demo: it believes nothing that is not signed, and no byte that was changed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter, time
from typing import Any, Self

from aiohttp import web

from dispatcher.core import ids
from dispatcher.demo.samples import Sample
from dispatcher.receiver import SignatureVerificationError, construct_event, verify

LARGEST_BODY = 9 * 2**20


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request. `latency` is in seconds, from the INSERT; `fault` is what was wrong with it.

    `sample` is the event the demo emitted, None for one of somebody else's.
    """

    type: str
    event: str
    attempt: str
    latency: float
    fault: str | None
    sample: Sample | None = None


class Unfaithful(ValueError):
    """Rightly signed, and yet not what was emitted."""


@dataclass(slots=True)
class Emitted:
    """What the demo emitted, by its data, with the moment its INSERT was called."""

    _started: dict[str, tuple[Sample, float]] = field(default_factory=dict)

    def add(self, *samples: Sample) -> None:
        now = perf_counter()
        self._started.update((sample.data, (sample, now)) for sample in samples)

    def forget(self, sample: Sample) -> None:
        self._started.pop(sample.data, None)

    def find(self, data: str) -> tuple[Sample, float] | None:
        return self._started.get(data)


class Receiver:
    """Answers 200 to what is signed with `secret` and unchanged, else 400; tells `arrived`.

    `body_hex_header` is where the signature of the scheme without a time is.
    """

    def __init__(self, *, body_hex_header: str) -> None:
        self.secret = ""
        self.emitted = Emitted()
        self.arrived: Callable[[Arrival], None] = lambda _: None
        self._body_hex_header = body_hex_header
        app = web.Application(client_max_size=LARGEST_BODY)
        app.router.add_post("/", self._receive)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)

    @property
    def url(self) -> str:
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}/"

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, backlog=1024).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _receive(self, request: web.Request) -> web.Response:
        at = perf_counter()
        arrival = self.judge(await request.read(), request.headers, at)
        self.arrived(arrival)
        return web.Response(status=400 if arrival.fault else 200, text=arrival.fault)

    def judge(self, body: bytes, headers: Mapping[str, str], at: float) -> Arrival:
        """What to think of a request that came `at` a moment of `perf_counter`."""
        attempt = _branded(headers, "attempt")
        try:
            event = self._believed(body, headers)
            sample, started = self._matched(event["event"], _data(body, event, headers))
        except (SignatureVerificationError, ValueError) as error:
            return Arrival("?", headers.get("webhook-id", "?"), attempt, 0.0, str(error))
        latency = _age(event["event_id"]) if started is None else at - started
        return Arrival(event["event"], event["event_id"], attempt, latency, None, sample)

    def _believed(self, body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
        """The event, if both signatures hold: the one of the body, and the one with a time."""
        named = self._body_hex_header
        verify(body, headers, self.secret, schemes=("body-hex",), signature_header=named)
        return construct_event(body, headers, self.secret)

    def _matched(self, type_: str, data: str) -> tuple[Sample, float] | tuple[None, None]:
        found = self.emitted.find(data)
        if found is None:
            return None, None
        if found[0].type != type_:
            raise Unfaithful("the data is another event's")
        return found


def _data(body: bytes, event: Mapping[str, object], headers: Mapping[str, str]) -> str:
    """The producer's text, once everything around it is in its place."""
    if event.get("event_id") != headers.get("webhook-id") or event.get("event") != _branded(
        headers, "event"
    ):
        raise Unfaithful("the headers name another event than the body")
    around = ",".join(
        f'"{key}":"{event.get(key)}"'
        for key in ("event", "event_id", "timestamp", "environment_id")
    )
    prefix, text = f'{{{around},"data":', body.decode()
    if not text.startswith(prefix):
        raise Unfaithful("the body is not put together as promised")
    return text[len(prefix) : -1]


def _branded(headers: Mapping[str, str], word: str) -> str:
    """The value of `X-…-Attempt` or its like, whatever the brand."""
    return next((v for k, v in headers.items() if k.lower().endswith(f"-{word}")), "?")


def _age(event: str) -> float:
    return max(0.0, time() - ids.created_ms(ids.parse("evt", event)) / 1000)
