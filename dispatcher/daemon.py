"""The daemon: engine and front, run in one task group, drained in reverse."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from dispatcher import __version__, observe, sdnotify
from dispatcher.audit import Actor
from dispatcher.config import Config
from dispatcher.crypto import Cipher
from dispatcher.engine import Engine
from dispatcher.front import Front
from dispatcher.loop import either, repeat
from dispatcher.pauses import Pauses
from dispatcher.store.session import StatementTimeout, StoreUnavailable
from dispatcher.transport.own_ports import admin_port

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

        self._engine = Engine(config, dsn, cipher)
        self._front = Front(config, self._engine.sessions.people, cipher, self._checks)
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
        await self._front.port.open()
        self._engine.guard.add_own_port(admin_port(int(self.admin_address.rpartition(":")[2])))
        await self._engine.sender.open()
        try:
            async with asyncio.TaskGroup() as group:
                if self._config.delivery.paused:
                    await self._pause()
                feeding, sending = self._start(group)
                await self._announce()
                await self._stopping.wait()
                await self._drain(feeding, sending)
        finally:
            await self._engine.examine.close()
            await self._engine.sender.close()
            await self._front.port.close()
            await self._engine.sessions.close()
        observe.stopped()

    async def _pause(self) -> None:
        """Nothing is sent, by any daemon, until somebody says so: on record before we begin."""
        while not self._stopping.is_set():
            try:
                async with self._engine.sessions.people.transaction() as opened:
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
            loop("lease", self._engine.lease.beat, most=0.5),
            loop("record", self._engine.recorder.flush),
            loop("health", self._engine.health.flush, self._engine.health.wake),
            loop("statistics", self._engine.statist.flush),
            group.create_task(self._watchdog(), name="watchdog"),
        ]
        feeding = [
            loop("listen", self._engine.listener.keep),
            loop("fanout", self._engine.fan_out, self._engine.inbox_wake),
            loop("examine", self._engine.examine.look, self._engine.examine_wake),
            loop("refill", self._engine.refill.look, self._engine.refill_wake),
            loop("maintenance", self._engine.maintenance.look),
            loop("replay", self._engine.replay.look),
            group.create_task(self._engine.deliver.run(), name="deliver"),
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
        observe.started(__version__, self._front.port.address, "connected")
        sdnotify.ready(f"sending; admin on {self._front.port.address}")
        self.ready.set()

    async def _drain(
        self, feeding: list[asyncio.Task[None]], sending: list[asyncio.Task[None]]
    ) -> None:
        """Start nothing more, finish what is under way, write it, hand over the shards."""
        sdnotify.stopping()
        observe.draining(self._engine.deliver.in_flight, len(self._engine.recorder))
        for task in feeding:
            task.cancel()
        await asyncio.wait(feeding)
        finishing = asyncio.create_task(self._finish())
        forced = asyncio.create_task(self._forced.wait())
        limit = self._engine.endpoints.longest_timeout(self._config.delivery.timeout) + DRAIN_MARGIN
        await asyncio.wait({finishing, forced}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        if not finishing.done():
            observe.drain_cut_short(self._engine.deliver.in_flight, len(self._engine.recorder))
        for left in (finishing, forced, *sending):
            left.cancel()
        await asyncio.gather(finishing, forced, *sending, return_exceptions=True)

    async def _finish(self) -> None:
        await self._engine.deliver.drained()
        await self._engine.sessions.record.set("synchronous_commit", "on")
        await self._engine.recorder.drained()
        for last in (self._engine.health.drained, self._leave, self._engine.statist.drained):
            try:
                await last()
            except TRANSIENT as error:
                observe.store_unavailable("drain", error, 0.0)

    async def _leave(self) -> None:
        # A commit that is waited for makes all before it durable, also those of other sessions.
        await self._engine.sessions.lease.set("synchronous_commit", "on")
        await self._engine.lease.leave()

    async def _watchdog(self) -> None:
        interval = sdnotify.watchdog_interval()
        while interval is not None:
            sdnotify.watchdog()
            await asyncio.sleep(interval)

    def _checks(self) -> Mapping[str, bool]:
        return {
            "database": self._engine.lease.valid,
            "listening": self._engine.listener.listening,
            "running": not self._stopping.is_set(),
        }
