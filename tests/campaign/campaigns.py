"""The campaigns: what is done to the system, and what must hold besides losing nothing."""

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import Iterable
from itertools import cycle, pairwise
from math import inf

from tests.campaign.oracle import Findings
from tests.campaign.producer import INSERT
from tests.campaign.stage import TIMEOUT, DaemonProcess, Stage
from tests.campaign.weighing import Campaign, Figure, bounded, number_of, resumed, spread
from tests.conftest import connected

DATABASE_BACK_WITHIN = 5.0
STOPPED_WITHIN = TIMEOUT + 5.0
LATE_WITHIN = 2.0
TERMINATE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name LIKE 'dispatcher/%' AND random() < 0.5
"""
FROZEN = 12
"""Seconds: longer than a lease."""


async def kill(stage: Stage) -> None:
    """kill -9 at random times, each time a new daemon at once."""
    daemon = await stage.daemon()
    async with stage.load():
        for _ in range(stage.count(30, short=1)):
            await stage.pause(0.2, 2.5)
            stage.fault("kill")
            await daemon.killed()
            daemon = await stage.daemon()
    await stop(stage, daemon)


async def recover(stage: Stage) -> None:
    """kill -9 again and again while it starts and takes over, then once more, and measured."""
    daemon = await stage.daemon()
    async with stage.load():
        for _ in range(stage.count(10, short=1)):
            await stage.pause(0.5, 1.5)
            for _ in range(stage.count(3, short=1)):
                stage.fault("crash")
                await daemon.killed()
                daemon = await stage.daemon(ready=False)
                await stage.pause(0.3, 2.0)
            stage.fault("kill")
            await daemon.killed()
            daemon = await stage.daemon()
    await stop(stage, daemon)


async def two(stage: Stage) -> None:
    """Two daemons, one of them killed and replaced, in turn."""
    daemons = [await stage.daemon(), await stage.daemon()]
    async with stage.load():
        for _ in range(stage.count(10, short=1)):
            await stage.pause(1.5, 2.5)
            stage.fault("kill")
            await daemons.pop(0).killed()
            await stage.pause(2.0, 3.0)
            daemons.append(await stage.daemon())


async def freeze(stage: Stage) -> None:
    """Two daemons, one of them stopped for longer than its lease, then continued, in turn."""
    daemons = [await stage.daemon(), await stage.daemon()]
    async with stage.load(per_second=100):
        for _ in range(stage.count(4, short=1)):
            await stage.pause(1.0, 2.0)
            stage.fault("freeze", cuts=False)
            daemons[0].signal(signal.SIGSTOP)
            await asyncio.sleep(stage.count(FROZEN, short=1))
            stage.fault("thaw", cuts=False)
            daemons[0].signal(signal.SIGCONT)
            daemons.reverse()
    for daemon in daemons:
        await stop(stage, daemon)


async def postgres(stage: Stage) -> None:
    """The server is restarted: fast, immediately, and after its postmaster was killed."""
    daemon = await stage.daemon()
    ways = cycle([signal.SIGINT, signal.SIGQUIT, signal.SIGKILL])
    async with stage.load():
        for way in [next(ways) for _ in range(stage.count(15, short=3))]:
            await stage.pause(1.5, 4.0)
            await _restart(stage, way)
            if not daemon.alive:
                stage.broken.append(f"the daemon ended, see {daemon.log}")
                daemon = await stage.daemon()
    await stop(stage, daemon)


async def term(stage: Stage) -> None:
    """SIGTERM under load, each time a new daemon after it has ended."""
    daemon = await stage.daemon()
    async with stage.load():
        for _ in range(stage.count(20, short=2)):
            await stage.pause(0.2, 1.5)
            await stop(stage, daemon)
            daemon = await stage.daemon()
    await stop(stage, daemon)


async def late(stage: Stage) -> None:
    """Transactions that stay open while many later ids are delivered: committed and rolled back."""
    await stage.daemon()
    async with stage.load(), connected(stage.dsn) as slow, connected(stage.dsn) as other:
        rows = [row for _ in range(10) for row in stage.emitted.draw(stage.chance)]
        undone = [row for _ in range(10) for row in stage.emitted.draw(stage.chance)]
        await slow.execute("BEGIN")
        await slow.executemany(INSERT, rows)
        await other.execute("BEGIN")
        await other.executemany(INSERT, undone)
        await asyncio.sleep(stage.count(30, short=1))
        await slow.execute("COMMIT")
        stage.fault("commit", cuts=False)
        await other.execute("ROLLBACK")
        stage.emitted.committed |= _numbers(rows)
        stage.emitted.rolled_back |= _numbers(undone)
        stage.late |= _numbers(rows)


async def mixed(stage: Stage) -> None:
    """All of it at random: two daemons, the server, and the sessions between them."""
    daemons = [await stage.daemon(), await stage.daemon()]
    async with stage.load():
        for _ in range(stage.count(40, short=4)):
            await stage.pause(0.2, 2.0)
            victim = stage.chance.randrange(2)
            daemons[victim] = await _harm(stage, daemons[victim])
    for daemon in daemons:
        await stop(stage, daemon)


async def _harm(stage: Stage, daemon: DaemonProcess) -> DaemonProcess:
    """Something bad, to this daemon or to all; the one that runs in its place afterwards."""
    match stage.chance.choice(("kill", "stop", "freeze", "restart", "crash", "terminate")):
        case "kill":
            stage.fault("kill")
            await daemon.killed()
            return await stage.daemon()
        case "stop":
            await stop(stage, daemon)
            return await stage.daemon()
        case "freeze":
            stage.fault("freeze", cuts=False)
            daemon.signal(signal.SIGSTOP)
            await stage.pause(0.5, 3.0)
            daemon.signal(signal.SIGCONT)
        case "restart":
            await _restart(stage, signal.SIGINT)
        case "crash":
            await _restart(stage, stage.chance.choice((signal.SIGQUIT, signal.SIGKILL)))
        case "terminate":
            stage.fault("terminate", cuts=False)
            await stage.fetch(TERMINATE)
    return daemon


async def _restart(stage: Stage, way: signal.Signals) -> None:
    pid = stage.server.pid
    assert pid is not None
    crash = way is not signal.SIGINT
    stage.fault(way.name, cuts=crash, forgets=crash)
    os.kill(pid, way)
    while stage.server.pid is not None:  # noqa: ASYNC110 - a process is waited for
        await asyncio.sleep(0.01)
    await stage.pause(0.0, 1.0)
    stage.server.start()
    stage.fault("back", cuts=False)


async def stop(stage: Stage, daemon: DaemonProcess) -> None:
    began = stage.fault("stop", cuts=False)
    daemon.signal(signal.SIGTERM)
    try:
        code = await daemon.ended(STOPPED_WITHIN + 2)
    except TimeoutError:
        stage.broken.append(f"the daemon did not stop, see {daemon.log}")
        return
    stage.stops.append(stage.now() - began)
    if code != 0:
        stage.broken.append(f"the daemon ended with {code}, see {daemon.log}")


def weigh_kills(stage: Stage, findings: Findings) -> list[Figure]:
    return [
        Figure(f"{number_of(stage, 'kill')} kills"),
        bounded(stage, findings),
        resumed(stage),
    ]


def weigh_freezes(stage: Stage, findings: Findings) -> list[Figure]:
    return [
        Figure(f"{number_of(stage, 'freeze')} freezes"),
        bounded(stage, findings),
        Figure("every POST recorded", not findings.unrecorded),
    ]


def weigh_mixed(stage: Stage, findings: Findings) -> list[Figure]:
    done = Counter(fault.kind for fault in stage.faults)
    counts = ", ".join(f"{number} {kind}" for kind, number in sorted(done.items()))
    return [Figure(counts), bounded(stage, findings)]


def weigh_restarts(stage: Stage, findings: Findings) -> list[Figure]:
    waits = []
    for fault, following in pairwise(stage.faults):
        if fault.kind == "back":
            sent = next((p.at for p in stage.posts if p.at >= fault.at), following.at)
            waits.append(min(sent, following.at) - fault.at)
    return [
        Figure(f"{len(waits)} restarts of the server"),
        Figure(
            f"sending again after {spread(waits)}", max(waits, default=inf) <= DATABASE_BACK_WITHIN
        ),
        bounded(stage, findings),
    ]


def weigh_stops(stage: Stage, findings: Findings) -> list[Figure]:
    return [
        Figure(
            f"{len(stage.stops)} stops in {spread(stage.stops)}",
            max(stage.stops, default=inf) <= STOPPED_WITHIN,
        ),
        Figure("no duplicates", not findings.duplicated),
        Figure("every POST recorded", not findings.unrecorded),
    ]


def weigh_late(stage: Stage, findings: Findings) -> list[Figure]:
    (committed,) = (fault.at for fault in stage.faults if fault.kind == "commit")
    first: dict[tuple[str, int], float] = {}
    for post in stage.posts:
        if post.n in stage.late:
            first.setdefault((post.endpoint, post.n), post.at)
    waits = [at - committed for at in first.values()]
    return [
        Figure(f"{len(stage.late)} events committed late arrived after {spread(waits)}", max(waits, default=inf) <= LATE_WITHIN),
        Figure("no duplicates", not findings.duplicated),
    ]  # fmt: skip


CAMPAIGNS = {
    "kill": Campaign(kill, weigh_kills),
    "recover": Campaign(recover, weigh_kills),
    "two": Campaign(two, weigh_kills),
    "freeze": Campaign(freeze, weigh_freezes, frozen=True),
    "postgres": Campaign(postgres, weigh_restarts),
    "term": Campaign(term, weigh_stops),
    "late": Campaign(late, weigh_late),
    "mixed": Campaign(mixed, weigh_mixed, frozen=True),
}


def _numbers(rows: Iterable[tuple[str, str]]) -> set[int]:
    return {json.loads(data)["n"] for _, data in rows}
