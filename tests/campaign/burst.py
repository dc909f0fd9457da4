"""Much at once after little for long: how steadily it is sent, and what each statement takes.

After some idling the queue tables are analysed while they are almost empty, as autovacuum does it.
Plans made then, and statistics taken then, must not be able to hurt afterwards.
"""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import inf
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

from dispatcher.embedded_postgres.server import EmbeddedPostgres
from tests.bench import stage
from tests.conftest import Connection, connected

EVENTS = 300_000
EVENTS_SHORT = 30_000
IDLE_SECONDS = 20
IDLE_SECONDS_SHORT = 4
TYPES = 1_000
PARKED = 1_000_000
PARKED_SHORT = 50_000
WITHIN_SECONDS = 240.0
LIMIT_SECONDS = 1.0
"""What a statement of the engine may take at the most."""
MANY_DUE = 10_000
"""While more than so many are due, every second must see something sent."""
DATA = '{"id":"usr_1","first_name":"Jane","last_name":"Doe"}'
LOGGED = """
ALTER SYSTEM SET log_min_duration_statement = 20;
ALTER SYSTEM SET log_line_prefix = '%a|';
SELECT pg_reload_conf();
"""
ANALYZE = """
ANALYZE dispatcher.inbox, dispatcher.deliveries, dispatcher.unvalidated_events, dispatcher.change_notices,
        dispatcher.events, dispatcher.attempts
"""
INSERT = """
INSERT INTO dispatcher.events (type, data)
SELECT 'user.t' || n % $3::int, $1::json FROM generate_series(1, $2::int) AS n
"""
# As they are when a receiver was away: tried once, and all due again at the same moment.
DUE_AT_ONCE = """
WITH gone AS (DELETE FROM dispatcher.inbox RETURNING *)
INSERT INTO dispatcher.deliveries (id, event_id, endpoint_id, environment_id, type, next_at, shard, attempt)
SELECT dispatcher.next_id(), g.event_id, e.id, g.environment_id, g.type, now() + interval '15 s', g.event_id % 64, 1
FROM gone g CROSS JOIN dispatcher.endpoints e
"""
PARK = """
INSERT INTO dispatcher.deliveries (id, event_id, endpoint_id, environment_id, type, next_at, shard, parked)
SELECT dispatcher.next_id(), v.id, e.id, v.environment_id, v.type, now(), e.home_shard, true
FROM (SELECT * FROM dispatcher.events LIMIT 1) AS v, dispatcher.endpoints e, generate_series(1, $2::int)
WHERE e.url = $1
"""


@dataclass(slots=True)
class Scene:
    """The daemons, the database and the receivers of a burst."""

    dsn: str
    connection: Connection
    receiver: stage.Receiver
    short: bool

    @property
    def events(self) -> int:
        return EVENTS_SHORT if self.short else EVENTS

    async def idle(self) -> None:
        """Events now and then, and at last statistics of next to nothing."""
        for _ in range(IDLE_SECONDS_SHORT if self.short else IDLE_SECONDS):
            await self.connection.execute(INSERT, DATA, 1, 1)
            await asyncio.sleep(1)
        await self.connection.execute(ANALYZE)
        await self.receiver.ask("count")
        await self.receiver.ask("times")


@dataclass(frozen=True, slots=True)
class Burst:
    """`began` is when all were due, in monotonic seconds; `number` of them."""

    began: float
    number: int


Play = Callable[[Scene], Awaitable[Burst]]


async def at_once(scene: Scene, types: int = 1) -> Burst:
    """One transaction, after idling."""
    async with stage.sending(scene.dsn):
        await scene.idle()
        await scene.connection.execute(INSERT, DATA, scene.events, types)
        return await _sent(scene, Burst(monotonic(), scene.events))


async def many_types(scene: Scene) -> Burst:
    """The same with a thousand types of events."""
    return await at_once(scene, TYPES)


async def old_snapshot(scene: Scene) -> Burst:
    """The same while somebody's transaction keeps every row that was ever there."""
    async with connected(scene.dsn) as old:
        await old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await old.execute("SELECT count(*) FROM dispatcher.settings")
        return await at_once(scene)


async def same_moment(scene: Scene) -> Burst:
    """A third as many retries, all due at one moment."""
    number = scene.events // 3
    await scene.connection.execute(ANALYZE)
    await scene.connection.execute(INSERT, DATA, number, 1)
    due = monotonic() + 15
    await scene.connection.execute(DUE_AT_ONCE)
    async with stage.sending(scene.dsn):
        return await _sent(scene, Burst(due, number))


async def beside_parked(scene: Scene) -> Burst:
    """A third as many beside a webhook that is disabled, with a million deliveries waiting."""
    hook = stage.dispatcher(
        scene.dsn, "webhook", "create", f"{scene.receiver.url}/parked", "--events", "none", "--json"
    )
    await scene.connection.execute(INSERT, DATA, 1, 1)
    parked = PARKED_SHORT if scene.short else PARKED
    await scene.connection.execute(PARK, f"{scene.receiver.url}/parked", parked)
    disable = "UPDATE dispatcher.endpoints SET active = false WHERE id::text = $1"
    await scene.connection.execute(disable, str(hook["id"]).removeprefix("whk_"))
    number = scene.events // 3
    async with stage.sending(scene.dsn):
        await scene.idle()
        await scene.connection.execute(INSERT, DATA, number, 1)
        return await _sent(scene, Burst(monotonic(), number), keep=parked)


BURSTS: dict[str, Play] = {
    "burst": at_once,
    "burst-types": many_types,
    "burst-snapshot": old_snapshot,
    "burst-due": same_moment,
    "burst-parked": beside_parked,
}


async def _sent(scene: Scene, burst: Burst, keep: int = 0) -> Burst:
    """Wait until all are sent and recorded, or nothing more is to be expected."""
    left = "SELECT (SELECT count(*) FROM dispatcher.inbox) + (SELECT count(*) FROM dispatcher.deliveries)"
    try:
        async with asyncio.timeout(WITHIN_SECONDS):
            while await scene.receiver.ask("so-far") < burst.number:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.25)
            while await scene.connection.fetchval(left) > keep:  # noqa: ASYNC110 - a table
                await asyncio.sleep(0.25)
    except TimeoutError:
        pass  # what is missing is counted
    return burst


def play(name: str) -> Callable[..., Awaitable[tuple[str, list[str]]]]:
    """The campaign of that name: figures, and what was promised and not kept."""

    async def played(
        directory: Path, server: EmbeddedPostgres, chance: Random, *, short: bool
    ) -> tuple[str, list[str]]:
        async with _scene(server, short=short) as scene:
            burst = await BURSTS[name](scene)
            times = await scene.receiver.ask("times")
            posts = await scene.receiver.ask("count")
        return _weigh(burst, times, posts, directory / "postgres" / "postgres.log")

    return played


@asynccontextmanager
async def _scene(server: EmbeddedPostgres, *, short: bool) -> AsyncIterator[Scene]:
    stage.dispatcher(server.dsn, "migrate")
    async with connected(server.dsn) as connection, stage.receiving() as receiver:
        for statement in LOGGED.strip().split("\n"):
            await connection.execute(statement)
        stage.dispatcher(server.dsn, "webhook", "create", receiver.url, "--events", "*", "--json")
        yield Scene(server.dsn, connection, receiver, short)


def _weigh(burst: Burst, times: dict[str, Any], posts: int, log: Path) -> tuple[str, list[str]]:
    lost, repeated = burst.number - len(times), posts - len(times)
    per_second = Counter(int(at - burst.began) for at in times.values())
    taken = max(times.values(), default=inf) - burst.began
    worst, idle = worst_second(per_second, burst.number, min(MANY_DUE, burst.number // 10))
    longest, statement = longest_statement(log)
    broken = [f"lost {lost}"] * (lost > 0) + [f"duplicated {repeated}"] * (repeated > 0)
    broken += [f"nothing was sent in second {second}, with {due} due" for second, due in idle]
    if longest > LIMIT_SECONDS:
        broken.append(f"a statement took {longest:.1f} s: {statement}")
    rates = " ".join(str(per_second[second]) for second in range(max(per_second, default=0) + 1))
    figures = (
        f"{burst.number} due, {posts} POSTs: lost {lost}, duplicated {repeated}; {taken:.1f} s,"
        f" {burst.number / taken:.0f}/s, worst second {worst}; longest statement"
        f" {longest * 1000:.0f} ms ({statement}); by second: {rates}"
    )
    return figures, broken


def worst_second(
    per_second: Counter[int], number: int, many: int
) -> tuple[int, list[tuple[int, int]]]:
    """Return the slowest second while more than `many` were due, and the seconds without a request.

    Each comes with the number that was due.
    """
    due, sent, idle = number - sum(n for second, n in per_second.items() if second < 0), [], []
    for second in range(max(per_second, default=0)):
        if due <= many:
            break
        sent.append(per_second[second])
        if not per_second[second]:
            idle.append((second, due))
        due -= per_second[second]
    return min(sent, default=0), idle


def longest_statement(log: Path) -> tuple[float, str]:
    """Return the seconds that the longest statement of a daemon took, and its first line."""
    pattern = re.compile(
        r"^dispatcher/([\w-]+)\|LOG: +duration: ([\d.]+) ms +(?:execute|bind|parse) \S+: (.*)"
    )
    longest = (0.0, "none took 20 ms")
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        if match := pattern.match(line):
            longest = max(longest, (float(match[2]) / 1000, f"{match[1]}: {match[3][:60]}"))
    return longest
