"""The daemon: everything built in dependency order, run in one task group, drained in reverse."""

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from time import monotonic

from dispatcher import __version__, observe, sdnotify
from dispatcher.api.app import BODY_MOST, AdminPort, build
from dispatcher.api.auth import Auth
from dispatcher.api.cursors import Cursors
from dispatcher.api.serving import Serving
from dispatcher.api.table import ROUTES
from dispatcher.audit import Actor
from dispatcher.bodies import Bodies
from dispatcher.clock import Clock
from dispatcher.config import Config
from dispatcher.crypto import Cipher
from dispatcher.dashboard.app import Dashboard
from dispatcher.dashboard.pages import PAGES
from dispatcher.deliver import Deliver
from dispatcher.egress import Guard, parse_allow
from dispatcher.endpoints import KnownEndpoints
from dispatcher.examine import Examine
from dispatcher.fanout import Fanout
from dispatcher.health import Health
from dispatcher.lanes import Lanes
from dispatcher.listen import Listener
from dispatcher.loop import either, repeat
from dispatcher.maintenance import Maintenance
from dispatcher.model import Result
from dispatcher.nudges import Nudged
from dispatcher.office import Office, header_names
from dispatcher.pauses import Pauses
from dispatcher.pending import Pending
from dispatcher.record import Recorder
from dispatcher.refill import Refill
from dispatcher.replay import Replay
from dispatcher.request import Requests
from dispatcher.sandbox import Sandbox
from dispatcher.send import Sender
from dispatcher.shards import Lease
from dispatcher.statistics import Statist
from dispatcher.store.answered import Answered
from dispatcher.store.daemons import Daemons
from dispatcher.store.deliveries import Deliveries
from dispatcher.store.endpoints import Endpoints
from dispatcher.store.events import Events
from dispatcher.store.inbox import Inbox
from dispatcher.store.nudges import Nudges
from dispatcher.store.partitions import Partitions
from dispatcher.store.recoveries import Recoveries
from dispatcher.store.session import StatementTimeout, StoreUnavailable
from dispatcher.store.sessions import Sessions
from dispatcher.store.statistics import Statistics
from dispatcher.store.unexamined import Unexamined
from dispatcher.tokens import Gate, bootstrap

IN_MEMORY = 20_000
"""Deliveries held in memory at the most; the table holds the rest."""
LANE_DEPTH = 1_000
BODY_CACHE = 32 * 2**20
DRAIN_MARGIN = 5.0
"""Seconds beyond the longest request that a drain may take, to write its last results."""

PAUSE_AGAIN = 0.5
"""Seconds between two tries to write down that sending is paused."""

TRANSIENT = (StoreUnavailable, StatementTimeout)


class Daemon:
    """One sending process. `run` returns after `stop` was called, or raises what broke it."""

    def __init__(self, config: Config, dsn: str, cipher: Cipher) -> None:
        self._config = config
        self._stopping = asyncio.Event()
        self._forced = asyncio.Event()
        self.ready = asyncio.Event()

        self._sessions = Sessions(dsn, statement_timeout=config.database.statement_timeout)
        self._clock = Clock()
        self._began = monotonic()
        self._inbox_wake = asyncio.Event()
        self._refill_wake = asyncio.Event()
        self._examine_wake = asyncio.Event()
        self._own(cipher)
        self._send()
        self._feed()
        self._serve(cipher)

    def _serve(self, cipher: Cipher) -> None:
        """What people and programs ask of it."""
        config, people = self._config, self._sessions.people
        office, first = Office(config, cipher), bootstrap(config)
        auth = Auth(Gate(people, first))
        serving = Serving(
            pool=people, office=office, auth=auth, cursors=Cursors(cipher.cursor_key())
        )
        body_most = max(BODY_MOST, 2 * config.delivery.max_data)
        app = build(self._checks, serving, ROUTES, body_most=body_most)
        self.dashboard = Dashboard(people, office, auth, first)
        self.dashboard.add(app, PAGES)
        self._admin = AdminPort(app, config.admin.host, config.admin.port)

    def _own(self, cipher: Cipher) -> None:
        """What this daemon holds: deliveries in memory, endpoints as they are, shards by lease."""
        lanes = Lanes(LANE_DEPTH, slow=self._config.delivery.concurrency // 2)
        self._pending = Pending(capacity=IN_MEMORY, lanes=lanes)
        self._endpoints = KnownEndpoints(
            Endpoints(self._sessions.endpoints),
            Deliveries(self._sessions.endpoints),
            self._pending,
            cipher,
            max_in_flight=self._config.delivery.max_in_flight,
            retry=self._config.retry.policy(),
        )
        nudged = Nudged(
            Nudges(self._sessions.lease),
            Deliveries(self._sessions.lease),
            self._pending,
            self._endpoints,
            now=self._clock.now,
            wake=self._wake_deliver,
        )
        self._lease = Lease(
            Daemons(self._sessions.lease),
            self._pending,
            self._endpoints,
            self._clock,
            changed=self._shards_changed,
            heed=nudged.heed,
        )
        self._sessions.lease.on_lost = self._lease.lost

    def _send(self) -> None:
        """From a due delivery to a recorded attempt."""
        config = self._config
        requests = _requests(config)
        self._recorder = Recorder(
            Deliveries(self._sessions.record),
            settled=self._pending.settle,
            lost=self._pending.lose,
            room=self._wake_deliver,
            noted=self._noted,
        )
        self._statist = Statist(
            Statistics(self._sessions.statistics),
            Daemons(self._sessions.statistics),
            self._endpoints,
            daemon=lambda: self._lease.daemon,
            facts=self._facts,
        )
        self._health = Health(
            Endpoints(self._sessions.upkeep),
            Events(self._sessions.upkeep),
            disable_after=config.delivery.disable_after,
        )
        self._sender = Sender(
            guard=Guard(parse_allow(config.egress.allow), https_only=config.egress.https_only),
            connect_timeout=config.delivery.connect_timeout,
            body_limit=config.delivery.response_body,
            concurrency=config.delivery.concurrency,
            user_agent=requests.user_agent,
        )
        self._deliver = Deliver(
            self._pending,
            self._lease,
            self._endpoints,
            Bodies(Events(self._sessions.bodies), capacity=BODY_CACHE),
            Deliveries(self._sessions.refill),
            self._sender,
            requests,
            self._recorder,
            self._health,
            self._clock,
            concurrency=config.delivery.concurrency,
            timeout=config.delivery.timeout,
            hungry=self._refill_wake.set,
        )

    def _feed(self) -> None:
        """What brings deliveries to the sending side, and what must be done now and then."""
        self._listener = Listener(self._sessions.listen, self._inbox_wake)
        self._sessions.fanout.on_lost = self._fanout_lost
        self._fanout = Fanout(
            Inbox(self._sessions.fanout),
            self._lease,
            admit=lambda made, parked: self._deliver.admit(made, parked=parked),
            saturated=self._pending.saturated,
            backlog=self._has_backlog,
        )
        self._examine = Examine(Unexamined(self._sessions.examine), Sandbox(), self._lease)
        self._refill = Refill(
            Deliveries(self._sessions.refill),
            self._pending,
            self._endpoints,
            self._clock,
            admit=lambda found, settled, are_parked: self._deliver.admit(
                found, settled=settled, are_parked=are_parked
            ),
            wake=self._refill_wake,
        )
        self._maintenance = Maintenance(
            Partitions(self._sessions.upkeep),
            Deliveries(self._sessions.upkeep),
            Daemons(self._sessions.upkeep),
            Answered(self._sessions.upkeep),
            Statistics(self._sessions.upkeep),
            keep_events=self._config.retention.events,
            keep_attempts=self._config.retention.attempts,
            now=self._clock.now,
        )
        self._replay = Replay(Recoveries(self._sessions.people))

    def __repr__(self) -> str:
        return f"<Daemon {self._lease!r}, {self._pending!r}, {self._deliver.in_flight} in flight>"

    @property
    def admin_address(self) -> str:
        return self._admin.address

    def stop(self) -> None:
        """Drain and return. Calling it again changes nothing."""
        self._stopping.set()

    def force(self) -> None:
        """Return without waiting for what is under way."""
        self._stopping.set()
        self._forced.set()

    def handle_signals(self) -> None:
        """SIGTERM drains, a second one is harmless; SIGINT drains, a second one forces."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.stop)
        loop.add_signal_handler(
            signal.SIGINT, lambda: self.force() if self._stopping.is_set() else self.stop()
        )

    async def run(self) -> None:
        await self._admin.open()
        await self._sender.open()
        try:
            async with asyncio.TaskGroup() as group:
                if self._config.delivery.paused:
                    await self._pause()
                feeding, sending = self._start(group)
                await self._announce()
                await self._stopping.wait()
                await self._drain(feeding, sending)
        finally:
            await self._examine.close()
            await self._sender.close()
            await self._admin.close()
            await self._sessions.close()
        observe.stopped()

    async def _pause(self) -> None:
        """Nothing is sent, by any daemon, until somebody says so: on record before we begin."""
        while not self._stopping.is_set():
            try:
                async with self._sessions.people.transaction() as opened:
                    await Pauses(opened, Actor("dispatcher")).pause(None)
            except TRANSIENT as error:
                observe.store_unavailable("pause", error, PAUSE_AGAIN)
                await either(self._stopping, PAUSE_AGAIN)
            else:
                return

    def _start(
        self, group: asyncio.TaskGroup
    ) -> tuple[list[asyncio.Task[None]], list[asyncio.Task[None]]]:
        """The loops that bring work in, and those that are needed until the last result is written."""
        loop = partial(self._loop, group)
        sending = [
            loop("lease", self._lease.beat, most=0.5),
            loop("record", self._recorder.flush),
            loop("health", self._health.flush, self._health.wake),
            loop("statistics", self._statist.flush),
            group.create_task(self._watchdog(), name="watchdog"),
        ]
        feeding = [
            loop("listen", self._listener.keep),
            loop("fanout", self._fan_out, self._inbox_wake),
            loop("examine", self._examine.look, self._examine_wake),
            loop("refill", self._refill.look, self._refill_wake),
            loop("maintenance", self._maintenance.look),
            loop("replay", self._replay.look),
            group.create_task(self._deliver.run(), name="deliver"),
        ]
        return feeding, sending

    def _loop(
        self,
        group: asyncio.TaskGroup,
        stage: str,
        one_pass: Callable[[], Awaitable[float]],
        wake: asyncio.Event | None = None,
        *,
        most: float = 2.0,
    ) -> asyncio.Task[None]:
        return group.create_task(
            repeat(
                one_pass,
                transient=TRANSIENT,
                failed=partial(observe.store_unavailable, stage),
                wake=wake,
                most=most,
            ),
            name=stage,
        )

    async def _announce(self) -> None:
        """Tell the world once we own shards and hear notifications, however long that takes."""
        while not self._stopping.is_set() and not all(self._checks().values()):  # noqa: ASYNC110 - what it waits for has no event in common
            await asyncio.sleep(0.02)
        observe.started(__version__, self._admin.address, "connected")
        sdnotify.ready(f"sending; admin on {self._admin.address}")
        self.ready.set()

    async def _drain(
        self, feeding: list[asyncio.Task[None]], sending: list[asyncio.Task[None]]
    ) -> None:
        """Start nothing more, finish what is under way, write it, hand over the shards."""
        sdnotify.stopping()
        observe.draining(self._deliver.in_flight, len(self._recorder))
        for task in feeding:
            task.cancel()
        await asyncio.wait(feeding)
        finishing = asyncio.create_task(self._finish())
        forced = asyncio.create_task(self._forced.wait())
        limit = self._endpoints.longest_timeout(self._config.delivery.timeout) + DRAIN_MARGIN
        await asyncio.wait({finishing, forced}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        if not finishing.done():
            observe.drain_cut_short(self._deliver.in_flight, len(self._recorder))
        for left in (finishing, forced, *sending):
            left.cancel()
        await asyncio.gather(finishing, forced, *sending, return_exceptions=True)

    async def _finish(self) -> None:
        await self._deliver.drained()
        await self._sessions.record.set("synchronous_commit", "on")
        await self._recorder.drained()
        for last in (self._health.drained, self._statist.drained, self._leave):
            try:
                await last()
            except TRANSIENT as error:
                observe.store_unavailable("drain", error, 0.0)

    async def _leave(self) -> None:
        # A commit that is waited for makes all before it durable, also those of other sessions.
        await self._sessions.lease.set("synchronous_commit", "on")
        await self._lease.leave()

    async def _watchdog(self) -> None:
        interval = sdnotify.watchdog_interval()
        while interval is not None:
            sdnotify.watchdog()
            await asyncio.sleep(interval)

    def _checks(self) -> Mapping[str, bool]:
        return {
            "database": self._lease.valid,
            "listening": self._listener.listening,
            "running": not self._stopping.is_set(),
        }

    async def _fan_out(self) -> float:
        """Whatever tells of new events, or stands in for being told, tells of those to examine."""
        try:
            return await self._fanout.look()
        finally:
            self._examine_wake.set()

    def _fanout_lost(self) -> None:
        """A statement may have been committed whose answer we never read."""
        self._pending.doubt()
        self._refill_wake.set()

    def _shards_changed(self) -> None:
        self._refill.shards_changed()
        self._inbox_wake.set()

    def _noted(self, results: Sequence[Result]) -> None:
        observe.recorded(results)
        self._statist.note(results)

    def _facts(self) -> Mapping[str, object]:
        """What people see of this daemon."""
        flying, unrecorded = self._deliver.in_flight, len(self._recorder)
        later = len(self._pending.heap)
        return {
            "version": __version__,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "up": monotonic() - self._began,
            "in_flight": flying,
            "in_lanes": max(0, len(self._pending) - later - flying - unrecorded),
            "in_heap": later,
            "unrecorded": unrecorded,
        }

    def _wake_deliver(self) -> None:
        self._deliver.wake()

    def _has_backlog(self) -> bool:
        return len(self._pending) > self._config.delivery.concurrency


def _requests(config: Config) -> Requests:
    return Requests(
        brand=config.signing.brand,
        schemes=config.signing.schemes,
        names=header_names(config),
    )
