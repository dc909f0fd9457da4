"""How long the server works on each page of the dashboard, in a crowded database.

100,000 deliveries, 1,000 webhooks, 500 types and 300 environments, all but the last in one environment.
Every page that a GET shows is asked for in turn, one at a time, as a browser does that is signed in and
takes gzip.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from statistics import median
from time import perf_counter

import aiohttp
import asyncpg

from dispatcher.encryption.cipher import Cipher, parse_key
from tests.bench import scale, stage
from tests.bench.figures import Figure, Report
from tests.dashboard import crowd
from tests.dashboard.walk import walk

BAR_MS = 50.0
PORT = 18468


class Costs:
    """The CPU time of the daemon and the server processes, in milliseconds."""

    def __init__(self, daemon: int, server: int) -> None:
        self._daemon = daemon
        self._server = server

    def so_far(self) -> tuple[float, float]:
        """Return the time on a processor of the daemon, and of all sessions of PostgreSQL."""
        microseconds = 0.0
        for pid in stage.children(self._server):
            with suppress(OSError):  # an autovacuum worker may end before it is read
                microseconds += stage.microseconds_on_cpu(pid)
        return stage.microseconds_on_cpu(self._daemon) / 1000, microseconds / 1000


async def measure(dsn: str, *, rounds: int, size: crowd.Size | None = None) -> Report:
    """Milliseconds of each page: from the request to the last byte, and on a processor."""
    connection = await asyncpg.connect(dsn)
    try:
        ids = await crowd.fill(connection, Cipher(parse_key(stage.KEY)), size or crowd.Size())
        server = stage.server_pid(await connection.fetchval("SHOW data_directory"))
    finally:
        await connection.close()
    token = stage.dispatcher(
        dsn, "token", "create", "--environment", "*", "--scope", "admin", "--json"
    )["token"]
    pages = dict(walk("env_default", ids))
    walls: dict[str, list[float]] = defaultdict(list)
    spent: dict[str, list[tuple[float, float]]] = defaultdict(list)
    async with (
        stage.sending(dsn, admin_port=PORT, settings=scale.KEPT) as daemon,
        _browser(token) as browser,
    ):
        costs = Costs(daemon, server)
        for number in range(rounds + 1):
            for name, address in pages.items():
                before = costs.so_far()
                took = await _ask(browser, address)
                after = costs.so_far()
                if number:  # the first look compiles templates and reads the disk
                    walls[name].append(took)
                    spent[name].append((after[0] - before[0], after[1] - before[1]))
    return _report(walls, spent)


async def _ask(browser: aiohttp.ClientSession, address: str) -> float:
    began = perf_counter()
    async with browser.get(address, allow_redirects=False) as response:
        await response.read()
    if response.status not in (200, 303):
        raise RuntimeError(f"{address}: {response.status}")
    return (perf_counter() - began) * 1000


@asynccontextmanager
async def _browser(token: str) -> AsyncIterator[aiohttp.ClientSession]:
    """A session that is signed in. What comes compressed is not unpacked, which a server never does."""
    jar = aiohttp.CookieJar(unsafe=True)  # cookies for an address without a name
    async with aiohttp.ClientSession(
        f"http://127.0.0.1:{PORT}", cookie_jar=jar, auto_decompress=False
    ) as session:
        async with session.post("/sign-in", data={"token": token}) as response:
            response.raise_for_status()
        yield session


def _report(
    taken: Mapping[str, Sequence[float]], spent: Mapping[str, Sequence[tuple[float, float]]]
) -> Report:
    walls = {name: median(times) for name, times in taken.items()}
    head = f"{'daemon':>8} {'PostgreSQL':>11}   CPU, ms; wall: median and least, ms"
    lines = [f"  {'page':<52} {'wall':>7} {'least':>7} {head}"]
    on_cpu: dict[str, float] = {}
    for name, wall in sorted(walls.items(), key=lambda pair: -pair[1]):
        daemon, server = (median(samples) for samples in zip(*spent[name], strict=True))
        on_cpu[name] = daemon + server
        verdict = "pass" if wall <= BAR_MS else "short"
        least = min(taken[name])
        lines.append(
            f"  {name:<52} {wall:7.1f} {least:7.1f} {daemon:8.1f} {server:11.1f}   {verdict}"
        )
    slowest, dearest = max(walls, key=walls.__getitem__), max(on_cpu, key=on_cpu.__getitem__)
    return Report(
        lines,
        [
            Figure("dashboard, the slowest page", walls[slowest], "ms", BAR_MS, note=slowest),
            Figure(
                "dashboard, the page with most CPU", on_cpu[dearest], "ms", BAR_MS, note=dearest
            ),
            Figure("dashboard, the median page", median(walls.values()), "ms"),
        ],
    )
