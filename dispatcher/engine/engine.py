"""Build the engine: all stages, in the order of their dependencies.

Stages that work together get each other's callables here, so that their modules stay independent.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from time import monotonic

from dispatcher.config.sections import Config
from dispatcher.core.figures import Vitals
from dispatcher.core.model import ClockSetBack, Result
from dispatcher.encryption.cipher import Cipher
from dispatcher.engine.buffer.delivery_buffer import DeliveryBuffer
from dispatcher.engine.buffer.endpoint_queues import EndpointQueues
from dispatcher.engine.bulk.bulk_action_runner import BulkActionRunner
from dispatcher.engine.bulk.replayer import Replayer
from dispatcher.engine.clock import Clock
from dispatcher.engine.fanout.backstop import Backstop
from dispatcher.engine.fanout.fanout import Fanout
from dispatcher.engine.fanout.listener import Listener
from dispatcher.engine.fanout.schema_check import SchemaCheck
from dispatcher.engine.loading.admission import Admission
from dispatcher.engine.loading.change_notices import ChangeNoticeReader
from dispatcher.engine.loading.endpoint_cache import EndpointCache
from dispatcher.engine.loading.loader import Loader
from dispatcher.engine.ownership.lease import Lease
from dispatcher.engine.sending.attempt import AttemptRunner
from dispatcher.engine.sending.body_cache import BODY_CACHE_LIMIT_BYTES, BodyCache
from dispatcher.engine.sending.deliverer import Deliverer
from dispatcher.engine.sending.endpoint_health import EndpointHealth
from dispatcher.engine.sending.recorder import Recorder
from dispatcher.engine.stages.stage_runner import Stage
from dispatcher.engine.upkeep.daemon_status import StatusPublisher, daemon_status
from dispatcher.engine.upkeep.maintenance import Maintenance, MaintenanceSteps
from dispatcher.engine.upkeep.rescheduler import Rescheduler
from dispatcher.engine.upkeep.statistics import StatisticsWriter
from dispatcher.schema_validation.worker import Sandbox
from dispatcher.store.daemon_sessions import DaemonSessions
from dispatcher.store.queries.change_notices import ChangeNotices
from dispatcher.store.queries.daemons import Daemons
from dispatcher.store.queries.deliveries import Deliveries
from dispatcher.store.queries.endpoints import Endpoints
from dispatcher.store.queries.events import Events
from dispatcher.store.queries.inbox import Inbox
from dispatcher.store.queries.queues import Queues
from dispatcher.store.queries.statistics import Statistics
from dispatcher.store.queries.unvalidated_events import UnvalidatedEvents
from dispatcher.store.session import Transaction
from dispatcher.telemetry import observe
from dispatcher.transport.access_tokens import AccessTokens
from dispatcher.transport.addresses.egress_from_config import guard_from_config
from dispatcher.transport.addresses.own_ports import admin_port
from dispatcher.transport.sender_from_config import sender_from_config

BUFFERED_LIMIT = 20_000
"""Deliveries that fill memory: then only short queues take more. The others stay in the table."""
QUEUED_LIMIT = 1_000
"""Most deliveries that wait in one endpoint queue, unless QUEUE_SHARE of free memory is more."""
QUEUE_SHARE = 0.5
"""The part of the free memory that one queue may take. Otherwise a burst would be parked."""


class Engine:
    """The stages of one daemon, not running; `dispatcher.daemon.daemon` runs them."""

    def __init__(self, config: Config, dsn: str, cipher: Cipher) -> None:
        self._config = config
        self._dsn = dsn
        self._started_at = monotonic()
        self._admin_port: int | None = None  # known when it is open
        self.sessions = DaemonSessions(dsn, statement_timeout=config.database.statement_timeout)
        self.clock = Clock()
        self.inbox_wake = asyncio.Event()
        self.loader_wake = asyncio.Event()
        self.schema_check_wake = asyncio.Event()
        self._build_state(cipher)
        self._build_recording()
        self._build_sending()
        self._build_feeding()
        self._build_upkeep()

    def __repr__(self) -> str:
        return f"<Engine {self.lease!r}, {self.buffer!r}, {self.deliverer.in_flight} in flight>"

    def _build_state(self, cipher: Cipher) -> None:
        """Build what holds state: the delivery buffer, the caches and the lease."""
        slots = self._config.delivery.concurrency
        self.queues = EndpointQueues(QUEUED_LIMIT, QUEUE_SHARE, slots=slots, slow_slots=slots // 2)
        self.buffer = DeliveryBuffer(capacity=BUFFERED_LIMIT, queues=self.queues)
        self.bodies = BodyCache(
            Events(self.sessions.bodies), self.queues.next_events, capacity=BODY_CACHE_LIMIT_BYTES
        )
        self.endpoints = EndpointCache(
            Endpoints(self.sessions.endpoints),
            Deliveries(self.sessions.endpoints),
            self.buffer,
            cipher,
            max_in_flight=self._config.delivery.max_in_flight,
            retry=self._config.retry.policy(),
            share_slots=self.queues.share_slots,
        )
        notices = ChangeNoticeReader(
            ChangeNotices(self.sessions.lease),
            Deliveries(self.sessions.lease),
            self.buffer,
            self.endpoints,
            now=self.clock.now,
            wake=lambda: self.deliverer.wake(),
        )
        self.lease = Lease(
            Daemons(self.sessions.lease),
            self.buffer,
            self.endpoints,
            self.clock,
            on_shards_changed=self._shards_changed,
            apply_changes=notices.apply_next,
            on_set_back=self._note_set_back,
        )
        self.sessions.lease.on_lost = self.lease.give_up

    def _build_recording(self) -> None:
        """Build the stages that write what sending finds out."""
        self.recorder = Recorder(
            Deliveries(self.sessions.record),
            kept=lambda: self.lease.kept,
            on_recorded=self.buffer.confirm_recorded,
            on_late=self.buffer.note_late,
            on_unrecordable=self.lease.note_unrecordable,
            on_room=lambda: self.deliverer.wake(),
            on_batch=self._note_recorded,
        )
        self.statistics = StatisticsWriter(Statistics(self.sessions.statistics), self.endpoints)
        self.health = EndpointHealth(
            Endpoints(self.sessions.upkeep),
            Events(self.sessions.upkeep),
            disable_after=self._config.delivery.disable_after,
        )

    def _build_sending(self) -> None:
        """Build what makes attempts."""
        delivery = self._config.delivery
        self.guard = guard_from_config(self._config, self._dsn)
        self.sender = sender_from_config(self._config, self.guard)
        self.tokens = AccessTokens(self.sender)
        attempts = AttemptRunner(
            buffer=self.buffer,
            queues=self.queues,
            lease=self.lease,
            endpoints=self.endpoints,
            bodies=self.bodies,
            requests=self._config.signing.request_builder(),
            sender=self.sender,
            tokens=self.tokens,
            recorder=self.recorder,
            health=self.health,
            clock=self.clock,
            timeout=delivery.timeout,
        )
        self.deliverer = Deliverer(
            self.buffer,
            self.lease,
            Deliveries(self.sessions.load),
            self.recorder,
            self.clock,
            attempt=attempts.run,
            concurrency=delivery.concurrency,
            on_refill_needed=self.loader_wake.set,
        )

    def _build_feeding(self) -> None:
        """Build the stages that bring deliveries into memory."""
        deliveries, buffer = Deliveries(self.sessions.load), self.buffer
        endpoints, clock = self.endpoints, self.clock
        admission = Admission(buffer, endpoints, deliveries, clock, self.deliverer.start)
        self.fanout = Fanout(
            Inbox(self.sessions.fanout),
            self.lease,
            clock,
            reading=self.buffer.reading,
            admit=admission.admit_new,
            saturated=self.buffer.endpoints_without_room,
            keep_events=self.bodies.add,
            backlog=self._has_backlog,
            on_polling=self.schema_check_wake.set,
        )
        self.schema_check = SchemaCheck(
            UnvalidatedEvents(self.sessions.schema_check), Sandbox(), self.lease
        )
        self.loader = Loader(
            deliveries, buffer, endpoints, clock, admit=admission.admit, wake=self.loader_wake
        )
        self.sessions.fanout.on_lost = self.loader.reread_shards
        self.listener = Listener(
            self.sessions.listen, on_events=self._note_events, on_parked=self.loader.note_parked
        )

    def _build_upkeep(self) -> None:
        """Build the periodic stages."""
        self.rescheduler = Rescheduler(self.sessions.upkeep, on_moved=self._note_moved)
        self.lease.unmoved = lambda: self.rescheduler.unfinished
        self.status = StatusPublisher(
            Daemons(self.sessions.statistics), daemon=lambda: self.lease.daemon, status=self._status
        )
        steps = MaintenanceSteps(self.sessions.upkeep, self._config.retention, now=self.clock.now)
        self.maintenance = Maintenance(steps.table(), is_clock_set=lambda: self.clock.is_set)
        self._triggers = steps.triggers
        self.replayer = Replayer(self.sessions.upkeep)
        self.bulk_actions = BulkActionRunner(self.sessions.upkeep)
        self.backstop = Backstop(
            Queues(self.sessions.fanout),
            read_after=self.fanout.read_after,
            wakes={
                "inbox": self.inbox_wake,
                "unvalidated_events": self.schema_check_wake,
                "replays": self.replayer.wake,
                "bulk_actions": self.bulk_actions.wake,
            },
            notified=self._config.database.notify,
        )

    async def open(self, opened: AsyncExitStack, *, admin_port_number: int) -> None:
        """Open the sender; register on `opened` what ends it, the access tokens and schema checks.

        No attempt goes to the port `admin_port_number` of this machine, which is the admin port.
        """
        self._admin_port = admin_port_number
        self.guard.add_own_port(admin_port(admin_port_number))
        opened.push_async_callback(self.sender.close)
        await self.sender.open()
        opened.callback(self.tokens.close)
        opened.push_async_callback(self.schema_check.close)

    def stages_until_drained(self) -> tuple[Stage, ...]:
        """Return the stages that a drain still needs; they run until its last step has ended."""
        return (
            Stage("lease", self.lease.run_once, backoff_limit=0.5, ends_daemon=True),
            Stage("record", self.recorder.run_once, ends_daemon=True),
            Stage("reschedule", self.rescheduler.run_once, self.rescheduler.wake, ends_daemon=True),
            Stage("health", self.health.run_once, self.health.wake),
            Stage("statistics", self.statistics.run_once),
            Stage("status", self.status.run_once),
        )

    def stages_before_drain(self) -> tuple[Stage, ...]:
        """Return the stages that bring work in, and the periodic ones; a drain ends them first."""
        return (
            Stage("listen", self.listener.run_once),
            Stage("fanout", self.fanout.run_once, self.inbox_wake, ends_daemon=True),
            Stage("schema_check", self.schema_check.run_once, self.schema_check_wake),
            Stage("load", self.loader.run_once, self.loader_wake, ends_daemon=True),
            Stage("maintenance", self.maintenance.run_once),
            Stage("replay", self.replayer.run_once, self.replayer.wake),
            Stage("bulk_actions", self.bulk_actions.run_once, self.bulk_actions.wake),
            Stage("backstop", self.backstop.run_once),
        )

    def drain_steps(self) -> tuple[Callable[[], Awaitable[None]], ...]:
        """Return the steps that end sending, in their order."""
        return (
            self._release_shards,
            self.deliverer.drain,
            self._record_last,
            self.health.drain,
            self.rescheduler.drain,
            self._leave,
            self.statistics.drain,
        )

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Begin a transaction for a change by the daemon itself, see Session.transaction."""
        return self.sessions.upkeep.transaction()

    def disabled_triggers(self) -> Mapping[str, float]:
        """Return for how many seconds each trigger is known not to fire, by `trigger <name>`."""
        return self._triggers.failing()

    def longest_timeout(self) -> float:
        """Return the longest time in seconds that an attempt may take."""
        return self.endpoints.longest_timeout(self._config.delivery.timeout)

    def vitals(self, *, stages_failing: int = 0) -> Vitals:
        """Return the current figures of this daemon for metrics and readiness."""
        busy, idle = self.sessions.counted()
        return Vitals(
            in_flight=self.deliverer.in_flight,
            unrecorded=len(self.recorder),
            shards=len(self.lease.owned),
            lease_valid=self.lease.is_valid,
            listening=self.listener.is_listening,
            stages_failing=stages_failing,
            connections_busy=busy,
            connections_idle=idle,
        )

    async def _release_shards(self) -> None:
        # First, so that other daemons send what waits here while the last attempts are under way.
        self.lease.drain()

    async def _record_last(self) -> None:
        await self.sessions.record.set("synchronous_commit", "on")
        await self.recorder.drain()

    async def _leave(self) -> None:
        # A synchronous commit makes all earlier commits durable, also those of other sessions.
        await self.sessions.lease.set("synchronous_commit", "on")
        await self.lease.leave()

    def _note_events(self) -> None:
        """Wake the stages that new events may wait for."""
        self.inbox_wake.set()
        self.schema_check_wake.set()

    def _note_set_back(self, step: ClockSetBack) -> None:
        self.rescheduler.set_back(step)
        self.fanout.note_set_back()
        self.inbox_wake.set()

    def _note_moved(self, shards: frozenset[int]) -> None:
        self.buffer.read_again(shards)
        self.loader_wake.set()

    def _shards_changed(self) -> None:
        self.loader.shards_changed()
        self.inbox_wake.set()

    def _note_recorded(self, results: Sequence[Result]) -> None:
        observe.deliveries.recorded(results)
        self.health.note_recorded(results)
        self.statistics.note(results)

    def _status(self) -> Mapping[str, object]:
        """Return the status of this daemon that API and dashboard show."""
        return daemon_status(
            admin_port=self._admin_port,
            up=monotonic() - self._started_at,
            in_memory=len(self.buffer),
            in_flight=self.deliverer.in_flight,
            scheduled=self.buffer.scheduled_count,
            unrecorded=len(self.recorder),
        )

    def _has_backlog(self) -> bool:
        return len(self.buffer) > self._config.delivery.concurrency
