"""The daemon: the engine and the admin port in one task group, drained in reverse order."""

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
from dispatcher.api.connection_limits import ConnectionLimits
from dispatcher.api.cursors import Cursors
from dispatcher.api.hosts import only_for
from dispatcher.api.pipeline import RequestPipeline
from dispatcher.api.work import Work
from dispatcher.config.sections import Config
from dispatcher.dashboard.all_routes import PAGES
from dispatcher.dashboard.app import Dashboard
from dispatcher.encryption.cipher import Cipher
from dispatcher.engine.clock import monotonic
from dispatcher.engine.engine import Engine
from dispatcher.engine.loop import measure_lag, repeat, wait_for_event
from dispatcher.engine.stage_health import StageHealth
from dispatcher.services.audit_log import Actor
from dispatcher.services.measure import Measure
from dispatcher.services.pauses import Pauses
from dispatcher.services.services import ServiceSettings
from dispatcher.services.tokens import Gate, bootstrap
from dispatcher.store.pool import Pool
from dispatcher.store.session import StatementTimeoutError, StoreUnavailableError
from dispatcher.telemetry import observe, systemd
from dispatcher.transport.own_ports import admin_port

DRAIN_MARGIN = 5.0
"""Seconds beyond the longest request that a drain may take, to record its last results."""

OPEN_AGAIN_SECONDS = 2.0
"""Between two tries to open all connections: each may wait for a while itself."""

PAUSE_AGAIN = 0.5
"""Seconds between two tries to record that sending is paused."""

WATCH_SECONDS = 1.0
"""Seconds between two checks of the stages."""

LAG_SECONDS = 0.25
"""Seconds between two measurements of the event loop's lag: each costs some microseconds."""

VITAL_STAGES = ("lease", "fanout", "record")
"""While one of these stages has no success, sending stops soon: the daemon is not ready."""

TRANSIENT = (StoreUnavailableError, StatementTimeoutError)
"""Errors after which a statement is tried again."""

T = TypeVar("T")


class Front:
    """The admin port: the API and the dashboard.

    `checks` are the conditions of readiness, `failing` returns the stages without success, `paused`
    returns what is paused. `authentication` is a pool for authentication alone.
    """

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
        settings, first = ServiceSettings.from_config(config, cipher), bootstrap(config)
        auth = Auth(Gate(authentication, first))
        body_most = max(config.limits.body_bytes, 2 * config.delivery.max_data)
        pipeline = RequestPipeline(
            people,
            settings,
            auth=auth,
            cursors=Cursors(cipher.cursor_key()),
            work=Work(body_most),
        )
        app = build(checks, pipeline, ROUTES, body_most=body_most, failing=failing, paused=paused)
        if config.admin.hosts:
            app.middlewares.append(only_for(config.admin.hosts))
        self.dashboard = Dashboard(people, settings, auth, first, authentication=authentication)
        self.dashboard.add(app, PAGES)
        app.on_cleanup.append(lambda _: settings.close())
        connections = ConnectionLimits(
            most=config.limits.connections, of_one_address=config.limits.connections_per_address
        )
        self.port = AdminPort(app, config.admin.host, config.admin.port, connections)


class Daemon:
    """One sending process. `run` returns after `stop`, or raises the error that ended it."""

    def __init__(self, config: Config, dsn: str, cipher: Cipher) -> None:
        self._config = config
        self._stopping = asyncio.Event()
        self._forced = asyncio.Event()
        self.ready = asyncio.Event()

        self._engine = Engine(config, dsn, cipher)
        self._health = StageHealth(monotonic)
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
        """Return the URL of the admin port."""
        return self._front.port.address

    def stop(self) -> None:
        """Drain and return from `run`. A second call does nothing."""
        self._stopping.set()

    def force(self) -> None:
        """Return from `run` without waiting for requests that are under way."""
        self._stopping.set()
        self._forced.set()

    def handle_signals(self) -> None:
        """Drain on SIGTERM and SIGINT.

        A second SIGINT returns without waiting. A second SIGTERM changes nothing.
        """
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.stop)
        loop.add_signal_handler(
            signal.SIGINT, lambda: self.force() if self._stopping.is_set() else self.stop()
        )

    async def run(self) -> None:
        """Send until `stop` is called, then drain. Close everything opened, also after an error."""
        engine, port = self._engine, self._front.port
        async with AsyncExitStack() as opened:
            opened.push_async_callback(engine.sessions.close)
            opened.push_async_callback(port.close)
            await port.open()
            engine.guard.add_own_port(admin_port(int(self.admin_address.rpartition(":")[2])))
            opened.push_async_callback(engine.sender.close)
            await engine.sender.open()
            opened.push_async_callback(engine.schema_check.close)
            await self._send()
        observe.daemon.stopped()

    async def _send(self) -> None:
        async with asyncio.TaskGroup() as group:
            if self._config.delivery.paused:
                await self._apply_pause()
            feeding, sending = self._start(group)
            await self._announce()
            await self._stopping.wait()
            await self._drain(feeding, sending)

    async def _apply_pause(self) -> None:
        """Pause all environments if `delivery.paused` is set, before anything is sent.

        This happens only once for a setting, not at every start.
        """
        applied = await self._on_record("pause", Pauses.apply_configured)
        if applied is None:
            return
        if applied.applied:
            observe.pauses.applied()
        else:
            observe.pauses.applied_before(applied.paused_at, applied.resumed_at, applied.resumed_by)

    async def _on_record(self, what: str, change: Callable[[Pauses], Awaitable[T]]) -> T | None:
        """Return the result of the change, however long it takes.

        Return None if the daemon is stopping.
        """
        while not self._stopping.is_set():
            try:
                async with self._engine.sessions.upkeep.transaction() as opened:
                    return await change(Pauses(opened, Actor("dispatcher")))
            except TRANSIENT as error:
                observe.database.unavailable(what, error, PAUSE_AGAIN)
                await wait_for_event(self._stopping, PAUSE_AGAIN)
        return None

    def _start(
        self, group: asyncio.TaskGroup
    ) -> tuple[list[asyncio.Task[None]], list[asyncio.Task[None]]]:
        """Start the stages; return those that bring work in and those that a drain still needs.

        The second group runs until the last result is recorded.
        """
        loop = partial(self._loop, group)
        # A stage that holds no delivery continues after any error. Otherwise it would end sending.
        beside = partial(self._loop, group, transient=Exception)
        sending = [
            loop("lease", self._engine.lease.run_once, most=0.5),
            loop("record", self._engine.recorder.run_once),
            beside("health", self._engine.health.run_once, self._engine.health.wake),
            beside("statistics", self._engine.statistics.run_once),
            group.create_task(measure_lag(observe.daemon.loop_lag, LAG_SECONDS), name="lag"),
            group.create_task(self._watch(), name="watch"),
        ]
        feeding = [
            beside("listen", self._engine.listener.run_once),
            loop("fanout", self._engine.fan_out, self._engine.inbox_wake),
            beside(
                "schema_check", self._engine.schema_check.run_once, self._engine.schema_check_wake
            ),
            loop("load", self._engine.loader.run_once, self._engine.loader_wake),
            loop("reschedule", self._engine.rescheduler.run_once, self._engine.rescheduler.wake),
            beside("maintenance", self._engine.maintenance.run_once),
            beside("replay", self._engine.replayer.run_once),
            beside("measure", self._measure.look),
            group.create_task(self._engine.deliverer.run(), name="deliver"),
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
                on_failure=partial(self._stage_failed, stage),
                wake=wake,
                backoff_limit=most,
                on_begin=partial(self._health.began, stage),
                on_success=partial(self._health.succeeded, stage),
            ),
            name=stage,
        )

    async def _announce(self) -> None:
        """Report readiness once this daemon owns shards and listens, however long that takes."""
        while not self._stopping.is_set() and not all(self._checks().values()):  # noqa: ASYNC110 - what it waits for has no event in common
            await asyncio.sleep(0.02)
        await self._open_all()
        observe.daemon.started(__version__, self._front.port.address, "connected")
        systemd.ready(f"sending; admin on {self._front.port.address}")
        self.ready.set()

    async def _open_all(self) -> None:
        """Open every connection before the daemon calls itself started."""
        while not self._stopping.is_set():
            try:
                await self._engine.sessions.open_all()
            except StoreUnavailableError as error:
                observe.database.connection_problem(str(error))
                await wait_for_event(self._stopping, OPEN_AGAIN_SECONDS)
            else:
                return

    async def _drain(
        self, feeding: list[asyncio.Task[None]], sending: list[asyncio.Task[None]]
    ) -> None:
        """Start nothing more, finish what is under way, record it, and release the shards."""
        systemd.stopping()
        observe.daemon.draining(self._engine.deliverer.in_flight, len(self._engine.recorder))
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
                observe.daemon.drain_cut_short(
                    self._engine.deliverer.in_flight, len(self._engine.recorder)
                )
        finally:
            for left in (*ends, *sending):
                left.cancel()
            await asyncio.gather(*ends, *sending, return_exceptions=True)
        if not finishing.cancelled():
            finishing.result()  # raises its error. Otherwise the end would look orderly.

    async def _finish(self) -> None:
        """Do every step, also after one that failed. Raises the unexpected errors as a group."""
        errors: list[Exception] = []
        for step in (
            self._engine.deliverer.drained,
            self._record_last,
            self._engine.health.drained,
            self._leave,
            self._engine.statistics.drained,
        ):
            try:
                await step()
            except TRANSIENT as error:
                observe.database.unavailable("drain", error, 0.0)
            except Exception as error:  # noqa: BLE001 - the other steps matter as much; raised below
                observe.daemon.drain_step_failed(error)
                errors.append(error)
        if errors:
            raise ExceptionGroup("the drain failed", errors)

    async def _record_last(self) -> None:
        await self._engine.sessions.record.set("synchronous_commit", "on")
        await self._engine.recorder.drained()

    async def _leave(self) -> None:
        # A synchronous commit makes all earlier commits durable, also those of other sessions.
        await self._engine.sessions.lease.set("synchronous_commit", "on")
        await self._engine.lease.leave()

    async def _watch(self) -> None:
        """Tell systemd that the event loop runs, and find the stages that have no success."""
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
            observe.stages.stuck(stage, failing[stage])
        for stage in sorted(self._failing - failing.keys()):
            observe.stages.recovered(stage)
        self._failing = frozenset(failing)
        observe.daemon.vitals(self._engine.vitals(stages_failing=len(failing)))

    def _stage_failed(self, stage: str, error: Exception, retry_in: float) -> None:
        self._health.failed(stage)
        if isinstance(error, TRANSIENT):
            observe.stages.database_failed(stage, error, retry_in)
        else:
            observe.stages.failed(stage, error, retry_in)

    def _checks(self) -> Mapping[str, bool]:
        failing = self._health.failing()
        return {
            "database": self._engine.lease.valid,
            "listening": self._engine.listener.is_listening,
            "running": not self._stopping.is_set(),
            **{stage: stage not in failing for stage in VITAL_STAGES},
        }

    def _paused(self) -> Mapping[str, object] | None:
        """Return what is paused, for readiness; without names, because it needs no token."""
        found = self._measure.paused
        if found is None:
            return None
        since = found.all_since and found.all_since.isoformat(timespec="seconds")
        return {"all": since, "environments": found.environments}

    def _failing_since(self) -> Mapping[str, str]:
        """Return since when each stage has had no success, on the database's clock."""
        now = self._engine.clock.now()
        return {
            stage: datetime.fromtimestamp(now - seconds, UTC).isoformat(timespec="seconds")
            for stage, seconds in self._health.failing().items()
        }
