"""Server processes that freeze, and connections that lead nowhere without a word: both say nothing.

Each test would pass some time after the statement timeout and a grace as well: `SOON` is below that.
"""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from dispatcher.store.session import CLIENT_GRACE_SECONDS
from tests.end_to_end.stories import Daemons, Story, numbers
from tests.receivers import Receiver
from tests.silent_proxy import Proxy
from tests.waiting import until

pytestmark = pytest.mark.long

SOON = 9.0
"""Seconds, on any machine. Without short client timeouts it takes 15."""

assert SOON < 10.0 + CLIENT_GRACE_SECONDS


@asynccontextmanager
async def frozen(story: Story, session: str) -> AsyncIterator[int]:
    """The server process of a daemon's session does nothing in here."""
    process = await story.connection.fetchval(
        "SELECT pid FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'dispatcher/' || $1",
        session,
    )
    try:
        os.kill(process, signal.SIGSTOP)
    except (PermissionError, ProcessLookupError):
        pytest.skip("the server's processes are another machine's, or another user's")
    try:
        yield process
    finally:
        os.kill(process, signal.SIGCONT)


@pytest.mark.parametrize(
    "session", ["lease", "fanout", "record", "load", "endpoints", "bodies", "listen"]
)
async def test_sending_goes_on_soon_after_a_server_process_froze(
    story: Story, daemons: Daemons, receiver: Receiver, session: str
) -> None:
    await story.subscribe(receiver.url)
    daemon = await daemons.start()
    await story.insert(3)
    await story.ended(DELIVERED=3)
    async with frozen(story, session):
        if session == "lease":
            lease = daemon._engine.lease
            await until(lambda: not lease.is_valid, "it may not send any more")
        await story.insert(3, first=4)
        await receiver.wait_for(6, within=SOON)
        await until(lambda: _delivered(story, 6), "they are recorded", within=SOON)
        await story.insert(3, first=7)
        await receiver.wait_for(9, within=SOON)
    await story.ended(DELIVERED=9)
    assert daemons.alive(daemon)


async def test_a_daemon_takes_back_the_shards_of_its_lost_session_at_once(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    """Although its old server process lives: others would have to wait for the whole lease."""
    daemon = await daemons.start()
    lease = daemon._engine.lease
    before = lease.daemon
    async with frozen(story, "lease"):
        await until(lambda: lease.daemon not in (before, None), "it joined again", within=SOON)
        await until(lambda: len(lease.owned) == 64, "it owns all", within=SOON)
    known = await story.connection.fetch("SELECT id FROM dispatcher.daemons")
    assert [row["id"] for row in known] == [lease.daemon]


async def test_all_connections_are_opened_again_when_the_server_fell_silent(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    """As after a failover behind one address: what was open leads nowhere, what is new is answered."""
    if "host=" not in story.dsn:
        pytest.skip("the server is not reached by a socket of this machine")
    await story.subscribe(receiver.url)
    async with Proxy(story.dsn) as proxy:
        behind = Daemons(proxy.dsn, daemons.cipher)
        try:
            await behind.start()
            await story.insert(3)
            await story.ended(DELIVERED=3)
            proxy.cut()
            await story.insert(3, first=4)
            await receiver.wait_for(6, within=SOON)
            await until(lambda: _delivered(story, 6), "they are recorded", within=SOON)
        finally:
            await behind.end()
    assert set(numbers(receiver.requests)) == set(range(1, 7))


async def test_an_error_of_the_lease_session_alone_drops_no_other_connection(
    story: Story, daemons: Daemons, receiver: Receiver
) -> None:
    daemon = await daemons.start()
    lease = daemon._engine.lease
    first, before = lease.daemon, await _processes(story)
    await story.terminate("lease")
    await until(lambda: lease.daemon not in (first, None), "it joined again", within=SOON)
    await until(lambda: len(lease.owned) == 64, "it owns all again", within=SOON)
    after = await _processes(story)
    assert {name for name in before if before[name] != after[name]} == {"dispatcher/lease"}


async def _delivered(story: Story, count: int) -> bool:
    return (await story.states())["DELIVERED"] == count


async def _processes(story: Story) -> dict[str, int]:
    rows = await story.connection.fetch(
        "SELECT application_name AS name, pid FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name LIKE 'dispatcher/%'"
        " AND application_name NOT LIKE 'dispatcher/people%'"
    )
    return {row["name"]: row["pid"] for row in rows}
