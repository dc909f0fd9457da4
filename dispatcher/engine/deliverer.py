"""Send due deliveries: endpoint queue → semaphore → sign → send → outcome → record."""

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from random import random
from uuid import UUID

import orjson

from dispatcher.core import outcome
from dispatcher.core.model import (
    Delivery,
    Endpoint,
    Event,
    Outcome,
    Response,
    Result,
    SendError,
)
from dispatcher.engine.body_cache import BodyCache, UnreadableEventError
from dispatcher.engine.clock import Clock
from dispatcher.engine.delivery_buffer import DeliveryBuffer
from dispatcher.engine.endpoint_cache import EndpointCache
from dispatcher.engine.endpoint_health import EndpointHealth
from dispatcher.engine.lease import Lease
from dispatcher.engine.loop import wait_for_event
from dispatcher.engine.recorder import Recorder
from dispatcher.engine.request_headers import RequestBuilder
from dispatcher.store.deliveries import Deliveries
from dispatcher.store.session import StatementTimeout, StoreUnavailable
from dispatcher.telemetry import observe
from dispatcher.transport.sender import Sender

LOOK_AGAIN = 0.25
"""Longest wait in seconds between two checks of the lease, the recorder and the due times."""

BROKEN_RETRIES = 5
BROKEN_RETRY_SECONDS = 30.0
"""First delay after an attempt that failed by an error in the daemon; it doubles each time."""

DISABLE_TAKES = 5.0
"""Pause in seconds of an endpoint that is being disabled. Otherwise sending would continue until
the change is written and read back."""


class Deliverer:
    """The stage that sends deliveries.

    Deliveries enter memory by `admit`; `run` starts the due ones, and `_attempt` makes one attempt.
    `concurrency` is the number of attempts in flight, `timeout` the default in seconds for one
    attempt. `hungry` is called when an endpoint queue needs its parked rows.
    """

    def __init__(
        self,
        buffer: DeliveryBuffer,
        lease: Lease,
        endpoints: EndpointCache,
        bodies: BodyCache,
        deliveries: Deliveries,
        sender: Sender,
        requests: RequestBuilder,
        recorder: Recorder,
        health: EndpointHealth,
        clock: Clock,
        *,
        concurrency: int,
        timeout: float,
        hungry: Callable[[], None],
    ) -> None:
        self._buffer = buffer
        self._lease = lease
        self._endpoints = endpoints
        self._bodies = bodies
        self._deliveries = deliveries
        self._sender = sender
        self._requests = requests
        self._recorder = recorder
        self._health = health
        self._clock = clock
        self._timeout = timeout
        self._hungry = hungry
        self._slots = asyncio.BoundedSemaphore(concurrency)
        self._wake = asyncio.Event()
        # The event loop keeps only weak references to tasks. Otherwise a running worker could be
        # garbage collected.
        self._workers: set[asyncio.Task[None]] = set()
        self._starting = False
        self._broken: BaseException | None = None

    @property
    def in_flight(self) -> int:
        return len(self._workers)

    def wake(self) -> None:
        """Check again at once whether a delivery can start."""
        self._wake.set()

    async def admit(
        self,
        deliveries: Sequence[Delivery],
        *,
        settled: Collection[int | UUID] = (),
        parked: Collection[UUID] = (),
        are_parked: bool = False,
    ) -> None:
        """Take deliveries that were read from the table, or just written to it.

        `settled` is the set of DeliveryBuffer.reading. `parked` are endpoints with rows that stay in the
        table. `are_parked` is True if the deliveries are parked rows: without room they stay so.
        Raises StoreUnavailable or StatementTimeout.
        """
        try:
            await self._endpoints.load([d.endpoint_id for d in deliveries] + list(parked))
        except BaseException:
            self._buffer.requeue_unread(deliveries)
            raise
        self._buffer.note_parked(parked)
        to_park = self._buffer.admit(deliveries, self._clock.now(), settled)
        self._wake.set()
        if not are_parked:
            await self._park(to_park)

    async def run(self) -> None:
        """Start due deliveries while slots are free, until cancelled."""
        self._starting = True
        try:
            while True:
                await self._slots.acquire()
                delivery = await self._next()
                task = asyncio.create_task(self._work(delivery))
                self._workers.add(task)
                task.add_done_callback(self._finished)
        finally:
            self._starting = False

    async def drained(self) -> None:
        """Wait until no attempt is in flight; call it after `run` was cancelled."""
        while self._workers:
            await asyncio.wait(self._workers)

    async def _next(self) -> Delivery:
        while True:
            self._wake.clear()
            if self._broken:
                raise self._broken  # memory may be inconsistent: end, so that a restart reads again
            await self._tick()
            delivery = self._take()
            if delivery is not None:
                return delivery
            if self._buffer.endpoints_needing_refill():
                self._hungry()
            await wait_for_event(self._wake, self._patience())

    @property
    def _may_start(self) -> bool:
        return self._starting and self._lease.valid and self._recorder.has_room

    def _take(self) -> Delivery | None:
        """Return the next delivery to start, None if none can or may start."""
        delivery = self._buffer.take(self._clock.now()) if self._may_start else None
        if delivery is not None and self._buffer.just_needs_refill(delivery.endpoint_id):
            self._hungry()
        return delivery

    async def _work(self, delivery: Delivery | None) -> None:
        """Make one attempt after another; a task for each attempt would cost more."""
        while delivery is not None:
            await self._attempt(delivery)
            await self._tick()  # otherwise no retry would come due while all workers are busy
            delivery = self._take()

    async def _tick(self) -> None:
        try:
            await self._park(self._buffer.release_due(self._clock.now()))
        except (StoreUnavailable, StatementTimeout) as error:
            observe.store_unavailable("park", error, 0.0)

    async def _park(self, deliveries: Sequence[Delivery]) -> None:
        if deliveries:
            try:
                await self._deliveries.park([d.id for d in deliveries], self._lease.owned)
            except BaseException:
                self._buffer.requeue_unread(deliveries)
                raise

    def _patience(self) -> float:
        alarm = self._buffer.next_alarm()
        # While nothing may start, a due alarm stays due. Otherwise the loop would spin.
        if alarm is None or not self._may_start:
            return LOOK_AGAIN
        return min(LOOK_AGAIN, max(0.0, alarm - self._clock.now()))

    async def _attempt(self, delivery: Delivery) -> None:
        """Make one attempt, and record an unexpected error as its outcome.

        Otherwise an error in one attempt would end the worker, and with it the daemon.
        """
        try:
            await self._try(delivery)
        except Exception as error:  # noqa: BLE001 - one broken attempt must not stop the others
            observe.attempt_broke(delivery, error)
            self._put(delivery, time.time(), "{}", _broken_attempt(delivery, error))

    async def _try(self, delivery: Delivery) -> None:
        soon = self._buffer.queues.upcoming(delivery.endpoint_id)
        try:
            event = self._bodies.get(delivery.event_id, soon)
            if event is None:
                event = await self._bodies.read(delivery.event_id, soon)
        except (StoreUnavailable, StatementTimeout):
            self._buffer.give_back(delivery)
            return
        except UnreadableEventError as error:
            observe.event_unreadable(delivery, error)
            self._put(delivery, time.time(), "{}", _unreadable_event(error))
            return
        if event is None:
            self._put(delivery, self._clock.now(), "{}", _lost_event())
            return
        # The lease or the endpoint may have changed while the body was read.
        endpoint = self._endpoints[delivery.endpoint_id]
        if not self._lease.covers(delivery.shard) or not endpoint.active:
            self._buffer.give_back(delivery)
            return
        await self._send(delivery, endpoint, event)

    async def _send(self, delivery: Delivery, endpoint: Endpoint, event: Event) -> None:
        started_at = self._clock.now()
        varied = "{}"
        try:
            # Receivers compare the signature's time with their own clocks, not the database's.
            request = self._requests.build(delivery, endpoint, event, time.time(), started_at)
            varied = request.varied
            timeout = endpoint.timeout or self._timeout
            answer = await self._sender.post(
                endpoint.url,
                request.headers,
                event.body,
                timeout=timeout,
                share=endpoint.environment_id,
            )
        except Exception as error:  # noqa: BLE001 - an error of ours is retried on schedule
            observe.attempt_broke(delivery, error)
            answer = SendError("protocol", f"internal error: {type(error).__name__}", 0.0)
        policy = self._endpoints.policy(endpoint)
        decided = outcome.decide(
            answer,
            attempt=delivery.attempt - delivery.base + 1,
            policy=policy,
            now=self._clock.now(),
            chance=random(),  # noqa: S311 - jitter, not a secret
        )
        rest = DISABLE_TAKES if decided.disable else decided.pause
        if rest:
            self._buffer.queues.pause(endpoint.id, self._clock.now() + rest)
        self._health.note(endpoint, delivery, event.type, decided)
        self._put(delivery, started_at, varied, decided, answer)

    def _put(
        self,
        delivery: Delivery,
        started_at: float,
        varied: str,
        decided: Outcome,
        answer: Response | SendError | None = None,
    ) -> None:
        response = answer if isinstance(answer, Response) else None
        self._recorder.put(
            Result(
                delivery=delivery,
                outcome=decided,
                started_at=started_at,
                status=response.status if response else None,
                duration_ms=round(answer.duration * 1000) if answer else 0,
                request_headers=varied,
                response_headers=_header_text(response) if response else None,
                response_body=response.body if response else None,
            )
        )
        self._buffer.finish_attempt(delivery, answer.duration if answer else None)

    def _finished(self, worker: asyncio.Task[None]) -> None:
        self._workers.discard(worker)
        self._slots.release()
        self._wake.set()
        if not worker.cancelled():
            self._broken = self._broken or worker.exception()


def _header_text(response: Response) -> str:
    return orjson.dumps(response.headers).decode()


def _broken_attempt(delivery: Delivery, error: Exception) -> Outcome:
    """Return the outcome of an attempt that failed by an error in the daemon.

    It has its own retry schedule, as the configured one may have caused the error.
    """
    tried = delivery.attempt - delivery.base
    reason = f"internal error: {type(error).__name__}"
    if tried >= BROKEN_RETRIES:
        return Outcome("protocol", reason, "FAILED", None, None, None)
    return Outcome("protocol", reason, None, BROKEN_RETRY_SECONDS * 2**tried, None, None)


def _unreadable_event(error: UnreadableEventError) -> Outcome:
    reason = f"the event cannot be read: {error}. Retry when it is repaired"
    return Outcome("cancelled", reason, "FAILED", None, None, None)


def _lost_event() -> Outcome:
    return Outcome(
        "cancelled", "the event is no longer in the database", "CANCELLED", None, None, None
    )
