"""Start due deliveries: take them from the delivery buffer, and make attempts at the same time."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic

from dispatcher.core.model import Delivery
from dispatcher.engine.buffer.delivery_buffer import DeliveryBuffer
from dispatcher.engine.clock import Clock
from dispatcher.engine.loading.parking import park
from dispatcher.engine.ownership.lease import Lease
from dispatcher.engine.sending.recorder import Recorder
from dispatcher.engine.stages.loop import aligned, wait_for_event
from dispatcher.store.errors import StatementTimeoutError, StoreError
from dispatcher.store.queries.deliveries import Deliveries
from dispatcher.telemetry import observe

RECHECK_SECONDS = 0.25
"""Longest wait between two checks of the lease, the recorder and the due times."""
IDLE_RECHECK_SECONDS = 1.0
"""The same without deliveries in memory."""

STARTS_LIMIT = 32
"""Most attempts that are started before other tasks of the event loop may run.

To start one takes 50 µs and more. Otherwise hundreds that are due at one moment would hold the loop
for tens of milliseconds.
"""


class Deliverer:
    """The stage that starts attempts.

    `run` starts the deliveries that are due in memory. `attempt` makes one attempt with a delivery,
    and handles its own errors. `concurrency` is the number of attempts in flight.
    `on_refill_needed` is called when an endpoint queue needs its parked rows.
    """

    def __init__(
        self,
        buffer: DeliveryBuffer,
        lease: Lease,
        deliveries: Deliveries,
        recorder: Recorder,
        clock: Clock,
        *,
        attempt: Callable[[Delivery], Awaitable[None]],
        concurrency: int,
        on_refill_needed: Callable[[], None],
    ) -> None:
        self._buffer = buffer
        self._lease = lease
        self._deliveries = deliveries
        self._recorder = recorder
        self._clock = clock
        self._attempt = attempt
        self._on_refill_needed = on_refill_needed
        self._concurrency = concurrency
        self._wake = asyncio.Event()
        # The event loop keeps only weak references to tasks. Otherwise a running worker could be
        # garbage collected.
        self._workers: set[asyncio.Task[None]] = set()
        self._is_starting = False
        self._worker_error: BaseException | None = None

    @property
    def in_flight(self) -> int:
        """Return the number of attempts in flight."""
        return len(self._workers)

    def wake(self) -> None:
        """Check again at once whether a delivery can start."""
        self._wake.set()

    def start(self) -> None:
        """Start what can start, at once: `run` comes to it an iteration of the event loop later."""
        self._start_workers()
        self._wake.set()

    async def run(self) -> None:
        """Start due deliveries while workers are free, until cancelled."""
        self._is_starting = True
        try:
            while True:
                self._wake.clear()
                if self._worker_error:
                    # Memory may be inconsistent: end, so that a restart reads it again.
                    raise self._worker_error
                await self._park(self._buffer.release_due(self._clock.now()))
                has_more = self._start_workers()
                if self._buffer.endpoints_needing_refill():
                    self._on_refill_needed()
                if has_more:
                    await asyncio.sleep(0)
                else:
                    await wait_for_event(self._wake, aligned(self._seconds_to_next(), monotonic()))
        finally:
            self._is_starting = False

    async def drain(self) -> None:
        """Wait until no attempt is in flight; call it after `run` was cancelled.

        Raise the unexpected error of a worker. Otherwise the end of the daemon would look orderly.
        """
        while self._workers:
            await asyncio.wait(self._workers)
        if self._worker_error:
            raise self._worker_error

    @property
    def _has_free_worker(self) -> bool:
        return len(self._workers) < self._concurrency

    @property
    def _may_start(self) -> bool:
        return self._is_starting and self._lease.is_valid and self._recorder.has_room

    def _start_workers(self) -> bool:
        """Start a worker for each delivery that can and may start, at most STARTS_LIMIT.

        Return True if there may be more of them.
        """
        for _ in range(STARTS_LIMIT):
            if not self._has_free_worker or (delivery := self._take()) is None:
                return False
            worker = asyncio.create_task(self._work(delivery))
            self._workers.add(worker)
            worker.add_done_callback(self._on_worker_end)
        return True

    def _take(self) -> Delivery | None:
        """Return the next delivery to start, None if none can or may start."""
        delivery = self._buffer.take(self._clock.now()) if self._may_start else None
        if delivery is not None and self._buffer.just_needs_refill(delivery.endpoint_id):
            self._on_refill_needed()
        return delivery

    async def _work(self, delivery: Delivery | None) -> None:
        """Make one attempt after another; a task for each attempt would cost more."""
        while delivery is not None:
            await self._attempt(delivery)
            delivery = self._take()

    async def _park(self, to_park: Sequence[Delivery]) -> None:
        """Park due retries without room in their queues; after an error, the loader reads them."""
        try:
            await park(self._deliveries, self._buffer, to_park)
        except (StoreError, StatementTimeoutError) as error:
            observe.database.unavailable("park", error, 0.0)

    def _seconds_to_next(self) -> float:
        """Return after how many seconds to check again."""
        if not len(self._buffer):
            return IDLE_RECHECK_SECONDS
        # While nothing can start, the alarm of a queue stays due, so it is left out. Otherwise the
        # loop would spin.
        can_start = self._has_free_worker and self._may_start
        alarm = self._buffer.next_alarm(can_start=can_start)
        if alarm is None:
            return RECHECK_SECONDS
        return min(RECHECK_SECONDS, max(0.0, alarm - self._clock.now()))

    def _on_worker_end(self, worker: asyncio.Task[None]) -> None:
        self._workers.discard(worker)
        self._wake.set()
        if not worker.cancelled():
            self._worker_error = self._worker_error or worker.exception()
