"""Campaigns of what says nothing any more: servers, connections, processes of the server, a pooler."""

import asyncio
import os
import signal
from collections import defaultdict
from contextlib import AsyncExitStack
from itertools import pairwise

from tests.campaign.campaigns import stop
from tests.campaign.oracle import Findings
from tests.campaign.servers import (
    ClockedPostgres,
    NetworkPostgres,
    Pair,
    clocked,
    networked,
    paired,
    roomy,
)
from tests.campaign.stage import Stage
from tests.campaign.weighing import Campaign, Figure, bounded, number_of, sending_again, spread
from tests.network_server import PGBOUNCER, PgBouncer
from tests.silent_proxy import Proxy
from tests.stepped_clock import LIBRARIES

SESSIONS = ("lease", "fanout", "record", "load", "endpoints", "bodies", "listen")
SILENT_SECONDS = 4.0
"""How long a process stays frozen, or a connection cut: until the waiting side has noticed."""
PROMOTED_WITHIN_SECONDS = 30.0
HOUR = 3_600
PAUSE_LIMIT_SECONDS = 1.0
"""Between attempts, as configured."""
LATER_SECONDS = 6.0
"""By which an attempt may be later than that, on a machine that has other things to do."""
RUNNING = """
SELECT pid FROM pg_stat_activity
WHERE application_name = 'dispatcher/' || $1 AND backend_type = 'client backend'
"""


async def failover(stage: Stage) -> None:
    """The primary falls silent, its standby is promoted: two hosts in the address, in turn."""
    pair = stage.server
    assert isinstance(pair, Pair)
    await pair.replicate()
    stage.address = pair.address
    daemon = await stage.daemon()
    async with stage.load():
        for turn in range(stage.count(6, short=2)):
            await stage.pause(2.0, 4.0)
            unanswered = turn % 2 == 1
            stage.fault("no answer to a SYN" if unanswered else "accepts and says nothing")
            pair.fall_silent(unanswered=unanswered)
            await pair.promote()
            stage.fault("promoted", forgets=True)
            if not await stage.arrived(await stage.mark(), PROMOTED_WITHIN_SECONDS):
                stage.broken.append("nothing was sent after a promotion")
            stage.fault("sending", forgets=True)
            await pair.replace()
    await stop(stage, daemon)


async def half_open(stage: Stage) -> None:
    """Connections of single sessions lead nowhere any more, without a word; new ones are answered."""
    async with Proxy(stage.dsn) as proxy:
        stage.address = proxy.dsn
        daemon = await stage.daemon()
        async with stage.load():
            for _ in range(stage.count(6, short=1)):
                for session in ("lease", "fanout", "record", ""):
                    await stage.pause(1.0, 2.0)
                    stage.fault(f"cut {session}")
                    if not proxy.cut(session):
                        stage.broken.append(f"there is no session {session}")
                    await stage.mark()
                    await asyncio.sleep(SILENT_SECONDS)
        await stop(stage, daemon)


async def backend_freeze(stage: Stage) -> None:
    """The server process of each session of the engine stops for a while, in turn."""
    daemon = await stage.daemon()
    async with stage.load():
        for _ in range(stage.count(3, short=1)):
            for session in SESSIONS:
                await stage.pause(1.0, 2.0)
                await _frozen(stage, session)
    await stop(stage, daemon)


async def _frozen(stage: Stage, session: str) -> None:
    """Nothing is done for a session that is not connected: some are only when they are needed."""
    pids = [row["pid"] for row in await stage.fetch(RUNNING, session)]
    for pid in pids:
        stage.fault(f"freeze {session}")
        os.kill(pid, signal.SIGSTOP)
    if pids:
        await stage.mark()
        await asyncio.sleep(SILENT_SECONDS)
    for pid in pids:
        stage.fault(f"thaw {session}")
        os.kill(pid, signal.SIGCONT)


async def clock_with_one(stage: Stage) -> None:
    """The database's clock is set by an hour, there and back."""
    await _step(stage, 1)


async def clock_with_two(stage: Stage) -> None:
    """The same with two daemons, each of which could take the other for dead."""
    await _step(stage, 2)


async def _step(stage: Stage, number: int) -> None:
    server = stage.server
    assert isinstance(server, ClockedPostgres)
    daemons = [await stage.daemon() for _ in range(number)]
    async with stage.load():
        for seconds in (-HOUR, 0, HOUR, 0) * stage.count(2, short=1):
            await stage.pause(3.0, 5.0)
            stage.fault("step", cuts=False)
            server.clock.set(seconds)
            await stage.mark()
    for daemon in daemons:
        await stop(stage, daemon)


async def pooler(stage: Stage) -> None:
    """A pooler that gives sessions stands before the server; it is killed and started again."""
    server = stage.server
    assert isinstance(server, NetworkPostgres)
    async with AsyncExitStack() as stack:
        pool = PgBouncer(stage.directory / "pooler", server.port, "session", default_pool_size="60")
        stage.address = pool.dsn
        stack.push_async_callback(pool.kill)
        await pool.start()
        daemon = await stage.daemon()
        async with stage.load():
            for _ in range(stage.count(10, short=2)):
                await stage.pause(2.0, 4.0)
                stage.fault("pooler")
                await pool.kill()
                await stage.pause(0.0, 1.0)
                await pool.start()
                stage.fault("back", cuts=False)
                await stage.mark()
        await stop(stage, daemon)


def weigh_silence(stage: Stage, findings: Findings) -> list[Figure]:
    return [sending_again(stage, "silences"), bounded(stage, findings)]


def weigh_failovers(stage: Stage, findings: Findings) -> list[Figure]:
    return [
        sending_again(stage, "failovers", PROMOTED_WITHIN_SECONDS / 2),
        bounded(stage, findings),
    ]


def weigh_steps(stage: Stage, findings: Findings) -> list[Figure]:
    history: dict[tuple[str, str], list[float]] = defaultdict(list)
    for post in stage.posts:
        history[post.endpoint, post.delivery].append(post.at)
    waits = [after - before for of in history.values() for before, after in pairwise(of)]
    limit = PAUSE_LIMIT_SECONDS + LATER_SECONDS * stage.patience
    return [
        Figure(f"{number_of(stage, 'step')} steps of an hour"),
        Figure(f"attempts follow after {spread(waits)}", max(waits, default=0.0) <= limit),
        sending_again(stage, "new events"),
        Figure("no duplicates", not findings.duplicated),
    ]


def weigh_poolers(stage: Stage, findings: Findings) -> list[Figure]:
    return [sending_again(stage, "restarts of the pooler"), bounded(stage, findings)]


def _no_clock() -> str:
    return "" if LIBRARIES else "libfaketime is not installed"


def _no_pooler() -> str:
    return "" if PGBOUNCER else "pgbouncer is not installed"


CAMPAIGNS = {
    "failover": Campaign(failover, weigh_failovers, serves=paired),
    "half-open": Campaign(half_open, weigh_silence, serves=roomy),
    "backend-freeze": Campaign(backend_freeze, weigh_silence),
    "clock": Campaign(clock_with_one, weigh_steps, stepped=True, serves=clocked, lacking=_no_clock),
    "clock-two": Campaign(
        clock_with_two, weigh_steps, stepped=True, serves=clocked, lacking=_no_clock
    ),
    "pooler": Campaign(pooler, weigh_poolers, serves=networked, lacking=_no_pooler),
}
