"""What hostile receivers cost the deliveries of a healthy tenant, told apart from noise.

Slices alone (A) and beside them (B) follow one another as A B B A, many times in one run. Daemon,
receivers and the loads of both tenants run all the time: for A, the sending of the hostile
environment is paused. The times of all slices of a kind are taken together. Half of the slices
alone against the other half says how much the figures differ where nothing does.
"""

import asyncio
import json
from bisect import bisect_right
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from time import monotonic
from typing import Literal

from dispatcher.embedded_postgres.server import EmbeddedPostgres
from tests.campaign.neighbours import (
    ATTEMPTS,
    NOISE_SECONDS,
    Scene,
    asked,
    prepare,
    quantiles,
    scene_of,
    working,
)
from tests.campaign.weighing import Figure

Kind = Literal["alone", "beside"]
ORDER: tuple[Kind, ...] = ("alone", "beside", "beside", "alone")
CYCLES, CYCLES_SHORT = 9, 1
SLICE_SECONDS = 3.0
PRODUCERS = {"slices": 10, "slices-notified": 3}
"""Of the healthy tenant, by the campaign's name. Ten emit 390 events a second, so that each kind has
20,000 in nine cycles, and the daemon polls; with three, 115 a second, commits notify it."""
SETTLE_SECONDS: dict[Kind, float] = {"alone": 2.0, "beside": 0.5}
"""From a pause until the last attempt is over and recorded; from its end until all slots are taken."""
SETTINGS = {"DELIVERY__TIMEOUT": "1s", "DELIVERY__CONNECT_TIMEOUT": "1s"}
RATIO = 1.2


@dataclass(slots=True)
class Slices:
    """The slices of one run, in their order: kind, begin and end in monotonic seconds.

    `attempts` is how many attempts to hostile receivers there were beside them.
    """

    slices: list[tuple[Kind, float, float]] = field(default_factory=list)
    attempts: int = 0

    def times(
        self, kind: Kind, emitted: Mapping[str, float], arrived: Mapping[str, float]
    ) -> list[list[float]]:
        """Return the seconds from commit to arrival for each slice of a kind."""
        begins = [begin for _, begin, _ in self.slices]
        delays: list[list[float]] = [[] for _ in self.slices]
        for name, at in emitted.items():
            number = bisect_right(begins, at) - 1
            if number >= 0 and at < self.slices[number][2]:
                delays[number].append(arrived[name] - at)
        return [
            times
            for times, (slice_kind, _, _) in zip(delays, self.slices, strict=True)
            if slice_kind == kind
        ]


async def measure(scene: Scene, producers: int, cycles: int) -> tuple[str, list[str]]:
    """Return the figures, and what was promised and not kept."""
    plan = ORDER * cycles
    changes = [kind for before, kind in zip(("", *plan), plan, strict=False) if kind != before]
    seconds = len(plan) * SLICE_SECONDS + sum(SETTLE_SECONDS[kind] + 1.0 for kind in changes)
    orders = replace(scene.orders, token=scene.tokens["b"], seconds=seconds, producers=producers)
    await scene.receiver.ask("times")
    async with _flooding(scene), working("victim", orders) as victim:
        assert victim.stdout is not None
        played = await _play_slices(scene, plan)
        emitted = json.loads(await victim.stdout.readline())["emitted"]
    await asyncio.sleep(0.5)
    arrived = await scene.receiver.ask("times")
    missing = emitted.keys() - arrived.keys()
    if missing:
        return f"{len(missing)} of {len(emitted)} not sent", [
            "events of the healthy tenant are missing"
        ]
    return weigh(played, emitted, arrived, NOISE_SECONDS if cycles == CYCLES_SHORT else 0.0)


@asynccontextmanager
async def _flooding(scene: Scene) -> AsyncIterator[None]:
    await prepare(scene, "receivers")
    await asked(scene, "a", "/api/pause", {})
    async with working("receivers", replace(scene.orders, token=scene.tokens["a"])) as flood:
        yield
        assert flood.returncode is None, "the flood itself ended"


async def _play_slices(scene: Scene, plan: tuple[Kind, ...]) -> Slices:
    played, now = Slices(), ""
    for kind in plan:
        if kind != now:
            if now:
                await asked(scene, "a", "/api/pause" if kind == "alone" else "/api/resume", {})
            await asyncio.sleep(SETTLE_SECONDS[kind])
            now = kind
        before = await scene.connection.fetchval(ATTEMPTS)
        began = monotonic()
        await asyncio.sleep(SLICE_SECONDS)
        played.slices.append((kind, began, monotonic()))
        if kind == "beside":
            played.attempts += await scene.connection.fetchval(ATTEMPTS) - before
    return played


def weigh(
    played: Slices, emitted: Mapping[str, float], arrived: Mapping[str, float], noise_seconds: float
) -> tuple[str, list[str]]:
    """Return the figures, and what was not kept."""
    alone = played.times("alone", emitted, arrived)
    beside = played.times("beside", emitted, arrived)
    p50, p99 = quantiles(_all(alone))
    here50, here99 = quantiles(_all(beside))
    noise = quantiles(_all(alone[::2]))[1] / quantiles(_all(alone[1::2]))[1]
    figure = Figure(
        f"{len(_all(alone))} alone / {len(_all(beside))} beside {played.attempts} attempts to hostile"
        f" receivers, p50 {p50 * 1e3:.2f} / {here50 * 1e3:.2f} ms, p99 {p99 * 1e3:.2f} /"
        f" {here99 * 1e3:.2f} ms ({here99 / p99:.2f}, noise {noise:.2f})",
        kept=here99 <= max(p99 * RATIO, p99 + noise_seconds),
    )
    return figure.text, [] if figure.kept else [figure.text]


def _all(slices: list[list[float]]) -> list[float]:
    return [seconds for times in slices for seconds in times]


def play(name: str) -> Callable[..., Awaitable[tuple[str, list[str]]]]:
    """Return the campaign of this name."""

    async def play_all(
        directory: Path, server: EmbeddedPostgres, chance: Random, *, short: bool
    ) -> tuple[str, list[str]]:
        async with scene_of(server.dsn, short=short, settings=SETTINGS) as scene:
            return await measure(scene, PRODUCERS[name], CYCLES_SHORT if short else CYCLES)

    return play_all
