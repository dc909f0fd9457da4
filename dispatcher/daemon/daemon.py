"""The daemon: the engine and the admin port in one task group, drained before the end."""

import asyncio
import gc
import importlib
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from socket import socket
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from dispatcher import __version__
from dispatcher.api.port import sockets
from dispatcher.config.sections import Config
from dispatcher.daemon.backlog_monitor import BacklogMonitor
from dispatcher.encryption.cipher import Cipher
from dispatcher.engine.engine import Engine
from dispatcher.engine.stages.loop import aligned, measure_lag, wait_for_event
from dispatcher.engine.stages.stage_runner import TRANSIENT, Stage, StageRunner
from dispatcher.services.audit.audit_log import Actor
from dispatcher.services.pauses import Pauses
from dispatcher.store.errors import StoreError
from dispatcher.telemetry import observe, systemd

if TYPE_CHECKING:
    from dispatcher.daemon.admin_server import AdminServer
    from dispatcher.dashboard.app import Dashboard

DRAIN_MARGIN_SECONDS = 5.0
"""Time beyond the longest request that a drain may take, to record its last results."""
REOPEN_SECONDS = 2.0
"""Time between two tries to open all connections: each may wait for a while itself."""
PAUSE_RETRY_SECONDS = 0.5
"""Time between two tries to record that sending is paused."""
READY_POLL_SECONDS = 0.02
"""Time between two checks whether the daemon is ready: they have no event in common."""
WATCH_SECONDS = 1.0
"""Time between two checks of the stages."""
SWITCH_SECONDS = 0.0005
"""How long the event loop waits for the interpreter lock while a thread parses a large body.

A request waits for it some 20 times. With Python's 5 ms, one client that sends large bodies would
make all other requests slower by 0.1 s, and heartbeats too.
"""
LAG_SECONDS = 0.25
"""Time between two measurements of the event loop's lag: each costs some microseconds."""

VITAL_STAGES = ("lease", "fanout", "record")
"""While one of these stages has no success, sending stops soon: the daemon is not ready."""

T = TypeVar("T")


class Daemon:
    """One sending process. `run` returns after `stop`, or raises the error that ended it.

    If `excludes_loaded`, the garbage collector ignores all that exists when the admin port opens.
    `dispatcher run` has made it ignore what existed before.
    """

    def __init__(
        self, config: Config, dsn: str, cipher: Cipher, *, excludes_loaded: bool = False
    ) -> None:
        self._config = config
        self._cipher = cipher
        self._excludes_loaded = excludes_loaded
        self._stopping = asyncio.Event()
        self._forced = asyncio.Event()
        self.ready = asyncio.Event()

        self._engine = Engine(config, dsn, cipher)
        self._runner = StageRunner()
        self._backlog_monitor = BacklogMonitor(self._engine.sessions.statistics)
        self._listening: list[socket] = []
        self._admin: AdminServer | None = None
        self._admin_error: Exception | None = None
        self._is_served = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Daemon {self._engine!r}>"

    @property
    def admin_address(self) -> str:
        """Return the URL of the admin port. Raise RuntimeError if it is not open."""
        if not self._listening:
            raise RuntimeError("the admin port is not open")
        return sockets.address_of(self._listening)

    @property
    def dashboard(self) -> "Dashboard":
        """Return the dashboard. Raise RuntimeError until the admin port is built."""
        if self._admin is None:
            raise RuntimeError("the admin port is not built yet")
        return self._admin.dashboard

    def stop(self) -> None:
        """Make `run` drain and return. A second call does nothing."""
        self._stopping.set()

    def force(self) -> None:
        """Make `run` return without waiting for requests that are under way."""
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
        async with AsyncExitStack() as opened:
            opened.callback(sys.setswitchinterval, sys.getswitchinterval())
            sys.setswitchinterval(SWITCH_SECONDS)
            opened.push_async_callback(self._engine.sessions.close)
            opened.push_async_callback(self._close_admin)
            self._listening = await sockets.listen(self._config.admin.host, self._config.admin.port)
            own_port = int(self.admin_address.rpartition(":")[2])
            await self._engine.open(opened, admin_port_number=own_port)
            await self._send()
        if self._admin_error is not None:
            raise self._admin_error
        observe.daemon.stopped()

    # Start

    async def _send(self) -> None:
        async with asyncio.TaskGroup() as group:
            if self._config.delivery.paused:
                await self._apply_pause()
            before_drain, until_drained = self._start(group)
            before_drain.append(group.create_task(self._serve_or_stop(), name="admin port"))
            await self._announce()
            await self._stopping.wait()
            await self._drain(before_drain, until_drained)

    async def _apply_pause(self) -> None:
        """Pause all environments if `delivery.paused` is set, before anything is sent.

        This happens only once for a setting, not at every start.
        """
        applied = await self._record_pause(Pauses.apply_configured)
        if applied is None:
            return
        if applied.applied:
            observe.pauses.applied()
        else:
            observe.pauses.applied_before(applied.paused_at, applied.resumed_at, applied.resumed_by)

    async def _record_pause(self, change: Callable[[Pauses], Awaitable[T]]) -> T | None:
        """Return the result of the change, however long it takes.

        Return None if the daemon is stopping.
        """
        while not self._stopping.is_set():
            try:
                async with self._engine.transaction() as opened:
                    return await change(Pauses(opened, Actor("dispatcher")))
            except TRANSIENT as error:
                observe.database.unavailable("pause", error, PAUSE_RETRY_SECONDS)
                await wait_for_event(self._stopping, PAUSE_RETRY_SECONDS)
        return None

    def _start(
        self, group: asyncio.TaskGroup
    ) -> tuple[list[asyncio.Task[None]], list[asyncio.Task[None]]]:
        """Start the stages; return those that a drain ends first, and those that it still needs.

        The first bring work in and send it; the others run until the last result is recorded.
        """
        until_drained = [
            self._runner.start(group, stage) for stage in self._engine.stages_until_drained()
        ]
        until_drained.append(group.create_task(measure_lag(observe.daemon.loop_lag, LAG_SECONDS)))
        until_drained.append(group.create_task(self._watch(), name="watch"))
        measure = Stage("measure", self._backlog_monitor.run_once)
        before_drain = [
            self._runner.start(group, stage)
            for stage in (*self._engine.stages_before_drain(), measure)
        ]
        before_drain.append(group.create_task(self._engine.deliverer.run(), name="deliver"))
        if not self._config.delivery.paused:
            forget = self._record_pause(Pauses.forget_configured)
            before_drain.append(group.create_task(forget, name="pause"))
        return before_drain, until_drained

    async def _serve_or_stop(self) -> None:
        """Open the admin port. After an error, drain before `run` raises it."""
        try:
            await self._serve()
        except Exception as error:  # noqa: BLE001 - of any module that is loaded; `run` raises it
            self._admin_error = error
            self.stop()

    async def _serve(self) -> None:
        """Build the admin port and accept its connections, which have waited since `run` began.

        Loading its modules takes longer than all that the first attempt needs, so a thread does it.
        """
        await asyncio.to_thread(_load_admin_server)
        from dispatcher.daemon.admin_server import Probes, build_admin_server

        self._admin = build_admin_server(
            self._config,
            self._engine.sessions,
            self._cipher,
            Probes(self._checks, self._failing_since, self._paused),
            self._listening,
        )
        await self._admin.port.open()
        self._is_served.set()
        if self._excludes_loaded:
            gc.freeze()

    async def _close_admin(self) -> None:
        """Close the admin port, or what is open of it."""
        if self._admin is not None:
            await self._admin.port.close()
        for listening in self._listening:
            listening.close()

    async def _announce(self) -> None:
        """Wait without limit until all checks pass and all connections are open; report readiness.

        Report nothing if the daemon is stopped before.
        """
        while not (  # noqa: ASYNC110 - see READY_POLL_SECONDS
            self._stopping.is_set() or (self._is_served.is_set() and all(self._checks().values()))
        ):
            await asyncio.sleep(READY_POLL_SECONDS)
        await self._open_all()
        if self._stopping.is_set():
            return
        observe.daemon.started(__version__, self.admin_address)
        systemd.ready(f"sending; admin on {self.admin_address}")
        self.ready.set()

    async def _open_all(self) -> None:
        """Open every connection before the daemon calls itself started."""
        while not self._stopping.is_set():
            try:
                await self._engine.sessions.open_all()
            except StoreError as error:
                observe.database.connection_problem(str(error))
                await wait_for_event(self._stopping, REOPEN_SECONDS)
            else:
                return

    # Drain

    async def _drain(
        self, before_drain: list[asyncio.Task[None]], until_drained: list[asyncio.Task[None]]
    ) -> None:
        """Start nothing more, release the shards, and record what is under way when it ends."""
        systemd.stopping()
        vitals = self._engine.vitals()
        observe.daemon.draining(vitals.in_flight, vitals.unrecorded)
        for task in before_drain:
            task.cancel()
        await asyncio.wait(before_drain)
        finishing = asyncio.create_task(self._finish())
        forced = asyncio.create_task(self._forced.wait())
        limit = self._engine.longest_timeout() + DRAIN_MARGIN_SECONDS
        ends = {finishing, forced}
        try:
            await asyncio.wait(ends, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            if not finishing.done():
                vitals = self._engine.vitals()
                observe.daemon.drain_cut_short(vitals.in_flight, vitals.unrecorded)
        finally:
            for end in (*ends, *until_drained):
                end.cancel()
            await asyncio.gather(*ends, *until_drained, return_exceptions=True)
        if not finishing.cancelled():
            finishing.result()  # raises its error. Otherwise the end would look orderly.

    async def _finish(self) -> None:
        """Do every step, also after one that failed. Raise the unexpected errors as a group."""
        errors: list[Exception] = []
        for step in self._engine.drain_steps():
            try:
                await step()
            except TRANSIENT as error:
                observe.database.unavailable("drain", error, 0.0)
            except Exception as error:  # noqa: BLE001 - the other steps matter as much; raised below
                observe.daemon.drain_step_failed(error)
                errors.append(error)
        if errors:
            raise ExceptionGroup("the drain failed", errors)

    # Health

    async def _watch(self) -> None:
        """Tell systemd that the event loop runs, and log the stages that have no success."""
        interval = systemd.watchdog_interval()
        while True:
            if interval is not None:
                systemd.watchdog()
            vitals = self._engine.vitals(stages_failing=len(self._runner.failing()))
            if vitals.unrecorded == 0:
                self._runner.note_idle("record")
            self._runner.log_changes()
            observe.daemon.vitals(vitals)
            await asyncio.sleep(aligned(min(WATCH_SECONDS, interval or WATCH_SECONDS), monotonic()))

    def _checks(self) -> Mapping[str, bool]:
        """Return the conditions of readiness, and whether each is met."""
        failing, vitals = self._runner.failing(), self._engine.vitals()
        return {
            "database": vitals.lease_valid,
            "listening": vitals.listening,
            "running": not self._stopping.is_set(),
            **{stage: stage not in failing for stage in VITAL_STAGES},
        }

    def _paused(self) -> Mapping[str, object] | None:
        """Return what is paused, for readiness; without names, because it needs no token."""
        paused = self._backlog_monitor.paused
        if paused is None:
            return None
        since = paused.all_since and paused.all_since.isoformat(timespec="seconds")
        return {"all": since, "environments": paused.environments}

    def _failing_since(self) -> Mapping[str, str]:
        """Return since when each stage has had no success, on the database's clock.

        A disabled trigger is named too, because inserted events are not sent while it is disabled.
        """
        now = self._engine.clock.now()
        failing = {**self._runner.failing(), **self._engine.disabled_triggers()}
        return {
            stage: datetime.fromtimestamp(now - seconds, UTC).isoformat(timespec="seconds")
            for stage, seconds in failing.items()
        }


def _load_admin_server() -> None:
    importlib.import_module("dispatcher.daemon.admin_server")
