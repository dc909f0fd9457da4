"""The daemon: engine and front, run in one task group, drained in reverse."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from dispatcher import __version__
from dispatcher.api.all_routes import ROUTES
from dispatcher.api.app import AdminPort, Checks, Failing, Paused, build
from dispatcher.api.auth import Auth
from dispatcher.api.connections import ConnectionLimits
from dispatcher.api.cursors import Cursors
from dispatcher.api.hosts import only_for
from dispatcher.api.pipeline import Serving
from dispatcher.api.work import Work
from dispatcher.config.sections import Config
from dispatcher.dashboard.all_routes import PAGES
from dispatcher.dashboard.app import Dashboard
from dispatcher.encryption.cipher import Cipher
from dispatcher.engine.clock import steady
from dispatcher.engine.engine import Engine
from dispatcher.engine.loop import either, note_lag, repeat
from dispatcher.engine.stage_health import StageHealth
from dispatcher.services.audit_log import Actor
from dispatcher.services.measure import Measure
from dispatcher.services.pauses import Pauses
from dispatcher.services.services import Office
from dispatcher.services.tokens import Gate, bootstrap
from dispatcher.store.pool import Pool
from dispatcher.store.session import StatementTimeout, StoreUnavailable
from dispatcher.telemetry import observe, systemd
from dispatcher.transport.own_ports import admin_port

DRAIN_MARGIN = 5.0
"""Seconds beyond the longest request that a drain may take, to write its last results."""

PAUSE_AGAIN = 0.5
"""Seconds between two tries to write down that sending is paused."""

WATCH_SECONDS = 1.0
"""Between two looks at how the stages are doing."""

LAG_SECONDS = 0.25
"""Between two measurements of how late the event loop is: each costs some microseconds."""

VITAL_STAGES = ("lease", "fanout", "record")
"""While one of these gets nowhere, nothing is sent for long: the daemon is not ready."""

TRANSIENT = (StoreUnavailable, StatementTimeout)

T = TypeVar("T")


class Front:
    """`checks`: what readiness depends on; `failing`: the stages that get nowhere;
    `paused`: what is paused; `authentication`: connections for that alone."""

    def __init__(
        self,
        config: Config,
        people: Pool,
        cipher: Cipher,
        checks: Checks,
        failing: Failing,
        paused: Paused,
        *,
        authentication: Pool,
    ) -> None:
        office, first = Office(config, cipher), bootstrap(config)
        auth = Auth(Gate(authentication, first))
        body_most = max(config.limits.body_bytes, 2 * config.delivery.max_data)
        serving = Serving(
            pool=people,
            office=office,
            auth=auth,
            cursors=Cursors(cipher.cursor_key()),
            work=Work(body_most),
        )
        app = build(checks, serving, ROUTES, body_most=body_most, failing=failing, paused=paused)
        if config.admin.hosts:
            app.middlewares.append(only_for(config.admin.hosts))
        self.dashboard = Dashboard(people, office, auth, first, authentication=authentication)
        self.dashboard.add(app, PAGES)
        app.on_cleanup.append(lambda _: office.checks.close())
        connections = ConnectionLimits(
            most=config.limits.connections, of_one_address=config.limits.connections_per_address
        )
        self.port = AdminPort(app, config.admin.host, config.admin.port, connections)


class Daemon:
    """One sending process. `run` returns after `stop` was called, or raises what broke it."""

    def __init__(self, config: Config, dsn: str, cipher: Cipher) -> None:
        self._config = config
        self._stopping = asyncio.Event()
        self._forced = asyncio.Event()
        self.ready = asyncio.Event()

        self._engine = Engine(config, dsn, cipher)
        self._health = StageHealth(steady)
        self._failing: frozenset[str] = frozenset()
        sessions = self._engine.sessions
        self._measure = Measure(sessions.statistics)
        self._front = Front(
            config,
            sessions.people,
            cipher,
            self._checks,
            self._failing_since,
            self._paused,
            authentication=sessions.authentication,
        )
        self.dashboard = self._front.dashboard

    def __repr__(self) -> str:
        return f"<Daemon {self._engine!r}>"

    @property
    def admin_address(self) -> str:
        return self._front.port.address

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
        """Send until `stop` is called, then drain. Whatever fails, all that was opened is closed."""
        engine, port = self._engine, self._front.port
        async with AsyncExitStack() as opened:
            opened.push_async_callback(engine.sessions.close)
            opened.push_async_callback(port.close)
            await port.open()
            engine.guard.add_own_port(admin_port(int(self.admin_address.rpartition(":")[2])))
            opened.push_async_callback(engine.sender.close)
            await engine.sender.open()
            opened.push_async_callback(engine.examine.close)
            await self._send()
        observe.stopped()

    async def _send(self) -> None:
        async with asyncio.TaskGroup() as group:
            if self._config.delivery.paused:
                await self._apply_pause()
            feeding, sending = self._start(group)
            await self._announce()
            await self._stopping.wait()
            await self._drain(feeding, sending)

    async def _apply_pause(self) -> None:
        """`delivery.paused`: before anything is sent, by any daemon, all is paused; but only once."""
        applied = await self._on_record("pause", Pauses.apply_configured)
        if applied is None:
            return
        if applied.applied:
            observe.pause_applied()
        else:
            observe.pause_applied_before(applied.paused_at, applied.resumed_at, applied.resumed_by)

    async def _on_record(self, what: str, change: Callable[[Pauses], Awaitable[T]]) -> T | None:
        """Return what the change came to, however long it takes; None if the daemon is to stop."""
        while not self._stopping.is_set():
            try:
                async with self._engine.sessions.upkeep.transaction() as opened:
                    return await change(Pauses(opened, Actor("dispatcher")))
            except TRANSIENT as error:
                observe.store_unavailable(what, error, PAUSE_AGAIN)
                await either(self._stopping, PAUSE_AGAIN)
        return None

    def _start(
        self, group: asyncio.TaskGroup
    ) -> tuple[list[asyncio.Task[None]], list[asyncio.Task[None]]]:
        """The loops that bring work in, and those that are needed until the last result is written."""
        loop = partial(self._loop, group)
        # What holds no delivery goes on whatever one pass met: it must not end those that send.
        beside = partial(self._loop, group, transient=Exception)
        sending = [
            loop("lease", self._engine.lease.beat, most=0.5),
            loop("record", self._engine.recorder.flush),
            beside("health", self._engine.health.flush, self._engine.health.wake),
            beside("statistics", self._engine.statist.flush),
            group.create_task(note_lag(observe.loop_lag, LAG_SECONDS), name="lag"),
            group.create_task(self._watch(), name="watch"),
        ]
        feeding = [
            beside("listen", self._engine.listener.keep),
            loop("fanout", self._engine.fan_out, self._engine.inbox_wake),
            beside("examine", self._engine.examine.look, self._engine.examine_wake),
            loop("refill", self._engine.refill.look, self._engine.refill_wake),
            loop("reschedule", self._engine.reschedule.run_once, self._engine.reschedule.wake),
            beside("maintenance", self._engine.maintenance.look),
            beside("replay", self._engine.replay.look),
            beside("measure", self._measure.look),
            group.create_task(self._engine.deliver.run(), name="deliver"),
        ]
        if not self._config.delivery.paused:
            forget = self._on_record("pause", Pauses.forget_configured)
            feeding.append(group.create_task(forget, name="pause"))
        return feeding, sending

    def _loop(
        self,
        group: asyncio.TaskGroup,
        stage: str,
        one_pass: Callable[[], Awaitable[float]],
        wake: asyncio.Event | None = None,
        *,
        most: float = 2.0,
        transient: type[Exception] | tuple[type[Exception], ...] = TRANSIENT,
    ) -> asyncio.Task[None]:
        return group.create_task(
            repeat(
                one_pass,
                transient=transient,
                failed=partial(self._stage_failed, stage),
                wake=wake,
                most=most,
                began=partial(self._health.began, stage),
                succeeded=partial(self._health.succeeded, stage),
            ),
            name=stage,
        )

    async def _announce(self) -> None:
        """Tell the world once we own shards and hear notifications, however long that takes."""
        while not self._stopping.is_set() and not all(self._checks().values()):  # noqa: ASYNC110 - what it waits for has no event in common
            await asyncio.sleep(0.02)
        observe.started(__version__, self._front.port.address, "connected")
        systemd.ready(f"sending; admin on {self._front.port.address}")
        self.ready.set()

    async def _drain(
        self, feeding: list[asyncio.Task[None]], sending: list[asyncio.Task[None]]
    ) -> None:
        """Start nothing more, finish what is under way, write it, hand over the shards."""
        systemd.stopping()
        observe.draining(self._engine.deliver.in_flight, len(self._engine.recorder))
        for task in feeding:
            task.cancel()
        await asyncio.wait(feeding)
        finishing = asyncio.create_task(self._finish())
        forced = asyncio.create_task(self._forced.wait())
        limit = self._engine.endpoints.longest_timeout(self._config.delivery.timeout) + DRAIN_MARGIN
        ends = {finishing, forced}
        try:
            await asyncio.wait(ends, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            if not finishing.done():
                observe.drain_cut_short(self._engine.deliver.in_flight, len(self._engine.recorder))
        finally:
            for left in (*ends, *sending):
                left.cancel()
            await asyncio.gather(*ends, *sending, return_exceptions=True)
        if not finishing.cancelled():
            finishing.result()  # raises what went wrong: it must not look like an orderly end

    async def _finish(self) -> None:
        """Take each step whatever became of those before it. Raises what was not foreseen."""
        errors: list[Exception] = []
        for step in (
            self._engine.deliver.drained,
            self._record_last,
            self._engine.health.drained,
            self._leave,
            self._engine.statist.drained,
        ):
            try:
                await step()
            except TRANSIENT as error:
                observe.store_unavailable("drain", error, 0.0)
            except Exception as error:  # noqa: BLE001 - the other steps matter as much; raised below
                observe.drain_step_failed(error)
                errors.append(error)
        if errors:
            raise ExceptionGroup("the drain failed", errors)

    async def _record_last(self) -> None:
        await self._engine.sessions.record.set("synchronous_commit", "on")
        await self._engine.recorder.drained()

    async def _leave(self) -> None:
        # A commit that is waited for makes all before it durable, also those of other sessions.
        await self._engine.sessions.lease.set("synchronous_commit", "on")
        await self._engine.lease.leave()

    async def _watch(self) -> None:
        """Tell systemd that the loop turns, and see which stages get nowhere."""
        interval = systemd.watchdog_interval()
        while True:
            if interval is not None:
                systemd.watchdog()
            if not len(self._engine.recorder):
                self._health.rests("record")
            self._note_failing()
            await asyncio.sleep(min(WATCH_SECONDS, interval or WATCH_SECONDS))

    def _note_failing(self) -> None:
        failing = self._health.failing()
        for stage in sorted(failing.keys() - self._failing):
            observe.stage_failing(stage, failing[stage])
        for stage in sorted(self._failing - failing.keys()):
            observe.stage_recovered(stage)
        self._failing = frozenset(failing)
        observe.vitals(self._engine.vitals(stages_failing=len(failing)))

    def _stage_failed(self, stage: str, error: Exception, retry_in: float) -> None:
        self._health.failed(stage)
        if isinstance(error, TRANSIENT):
            observe.stage_failed(stage, error, retry_in)
        else:
            observe.stage_broke(stage, error, retry_in)

    def _checks(self) -> Mapping[str, bool]:
        failing = self._health.failing()
        return {
            "database": self._engine.lease.valid,
            "listening": self._engine.listener.listening,
            "running": not self._stopping.is_set(),
            **{stage: stage not in failing for stage in VITAL_STAGES},
        }

    def _paused(self) -> Mapping[str, object] | None:
        """Return what is paused, for readiness: without names, anybody may read it."""
        found = self._measure.paused
        if found is None:
            return None
        since = found.all_since and found.all_since.isoformat(timespec="seconds")
        return {"all": since, "environments": found.environments}

    def _failing_since(self) -> Mapping[str, str]:
        """Return since when each stage has got nowhere, by the database's clock."""
        now = self._engine.clock.now()
        return {
            stage: datetime.fromtimestamp(now - seconds, UTC).isoformat(timespec="seconds")
            for stage, seconds in self._health.failing().items()
        }
