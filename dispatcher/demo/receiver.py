"""The demo's receiver: it checks every signature and every byte of the body."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from time import perf_counter, time
from typing import Any, Self

from aiohttp import web

from dispatcher.core import ids
from dispatcher.demo.cast import OTHERS, QUICK, Role, reply
from dispatcher.demo.samples import Sample
from dispatcher.receiver import SignatureVerificationError, construct_event, verify

BODY_LIMIT_BYTES = 9 * 2**20
"""The largest request body."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request. `latency` is the seconds since the INSERT; `fault` is the problem, if any.

    `sample` is the event that the demo emitted, None for an event from elsewhere. `role` is the
    receiver's, and `status` its answer.
    """

    type: str
    event: str
    attempt: str
    latency: float
    fault: str | None
    sample: Sample | None = None
    role: str = QUICK.name
    status: int = HTTPStatus.OK


class AlteredEventError(ValueError):
    """The signature is valid, but the event is not the one that was emitted."""


@dataclass(slots=True)
class Emitted:
    """The events that the demo emitted, by their data, with the time of their INSERT."""

    _started: dict[str, tuple[Sample, float]] = field(default_factory=dict)

    def add(self, *samples: Sample) -> None:
        """Note samples that are emitted now."""
        now = perf_counter()
        self._started.update((sample.data, (sample, now)) for sample in samples)

    def forget(self, sample: Sample) -> None:
        """Remove a sample that has arrived."""
        self._started.pop(sample.data, None)

    def find(self, data: str) -> tuple[Sample, float] | None:
        """Return the sample with this data and the time of its INSERT, None if there is none."""
        return self._started.get(data)


class Receiver:
    """A server that answers 400 to an invalid or changed event, and calls `arrived`.

    To a valid event it answers 200, or as the role in the path does. `secret` verifies the
    signatures. `body_hex_header` is the header of the scheme `body-hex`, which signs no time.
    """

    def __init__(self, *, body_hex_header: str) -> None:
        self.secret = ""
        self.emitted = Emitted()
        self.arrived: Callable[[Arrival], None] = lambda _: None
        self._body_hex_header = body_hex_header
        app = web.Application(client_max_size=BODY_LIMIT_BYTES)
        app.router.add_post("/", self._receive)
        for role in OTHERS:
            app.router.add_post(role.path, self._receive)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)

    @property
    def url(self) -> str:
        """Return the URL for the webhook."""
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}/"

    def url_of(self, role: Role) -> str:
        """Return the URL for the webhook of a role."""
        return self.url if role is QUICK else self.url.rstrip("/") + role.path

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, backlog=1024).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _receive(self, request: web.Request) -> web.Response:
        at = perf_counter()
        arrival = self.check(await request.read(), request.headers, at)
        role = request.path.strip("/") or QUICK.name
        answer = reply(role, arrival.attempt)
        status = HTTPStatus.BAD_REQUEST if arrival.fault else answer.status
        self.arrived(replace(arrival, role=role, status=status))
        if not arrival.fault:
            await asyncio.sleep(answer.seconds)
        return web.Response(status=status, text=arrival.fault or answer.body)

    def check(self, body: bytes, headers: Mapping[str, str], at: float) -> Arrival:
        """Return the result for a request that arrived at the time `at` of `perf_counter`."""
        attempt = _branded(headers, "attempt")
        try:
            event = self._verified(body, headers)
            sample, started = self._matched(event["event"], _data(body, event, headers))
        except (SignatureVerificationError, ValueError) as error:
            return Arrival("?", headers.get("webhook-id", "?"), attempt, 0.0, str(error))
        latency = _age(event["event_id"]) if started is None else at - started
        return Arrival(event["event"], event["event_id"], attempt, latency, None, sample)

    def _verified(self, body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
        """Return the event if both signatures are valid: `body-hex` and one with a timestamp.

        Raise SignatureVerificationError otherwise.
        """
        named = self._body_hex_header
        verify(body, headers, self.secret, schemes=("body-hex",), signature_header=named)
        return construct_event(body, headers, self.secret)

    def _matched(self, type_: str, data: str) -> tuple[Sample, float] | tuple[None, None]:
        emitted = self.emitted.find(data)
        if emitted is None:
            return None, None
        if emitted[0].type != type_:
            raise AlteredEventError("the data belongs to another event")
        return emitted


def _data(body: bytes, event: Mapping[str, object], headers: Mapping[str, str]) -> str:
    """Return the producer's text.

    Raise AlteredEventError if the headers or the rest of the body are not as expected.
    """
    if event.get("event_id") != headers.get("webhook-id") or event.get("event") != _branded(
        headers, "event"
    ):
        raise AlteredEventError("the headers name another event than the body")
    around = ",".join(
        f'"{key}":"{event.get(key)}"'
        for key in ("event", "event_id", "timestamp", "environment_id")
    )
    prefix, text = f'{{{around},"data":', body.decode()
    if not text.startswith(prefix):
        raise AlteredEventError("the body is not in the documented form")
    return text[len(prefix) : -1]


def _branded(headers: Mapping[str, str], word: str) -> str:
    """Return the value of `X-…-Attempt` or a similar header, with any brand."""
    return next((v for k, v in headers.items() if k.lower().endswith(f"-{word}")), "?")


def _age(event: str) -> float:
    return max(0.0, time() - ids.created_ms(ids.parse("evt", event)) / 1000)
