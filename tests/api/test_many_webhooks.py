"""An environment with thousands of webhooks."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from dispatcher import webhooks
from tests.api.conftest import Client
from tests.conftest import Connection

COUNT = 5_000


async def _fill(connection: Connection, count: int) -> None:
    """So many webhooks, of which ten at a time are equally old."""
    await connection.execute(
        "WITH made AS (INSERT INTO dispatcher.endpoints (id, environment_id, version, name, url, secret, created_at)"
        " SELECT gen_random_uuid(), 'env_default', 0, n, 'http://127.0.0.1/', '', now() - make_interval(secs => n / 10)"
        " FROM generate_series(1, $1::int) AS n RETURNING id, environment_id)"
        " INSERT INTO dispatcher.subscriptions (environment_id, pattern, endpoint_id)"
        " SELECT environment_id, 'user.*', id FROM made",
        count,
    )


@asynccontextmanager
async def _gaps() -> AsyncIterator[list[float]]:
    """Seconds between two turns of the loop, one after another."""
    gaps: list[float] = []

    async def turn() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0)
            gaps.append(time.monotonic() - before)

    turning = asyncio.create_task(turn())
    try:
        yield gaps
    finally:
        turning.cancel()


@pytest.mark.parametrize("at_once", [7, 500])
async def test_all_are_listed_once_whole_or_in_pages(
    admin: Client, connection: Connection, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(webhooks, "AT_ONCE", at_once)
    await _fill(connection, 250)
    rows = await connection.fetch("SELECT id FROM dispatcher.endpoints ORDER BY created_at, id")
    whole = (await admin("GET", "/api/webhooks")).data
    assert [webhook["id"] for webhook in whole] == [str(row["id"]) for row in rows]
    paged, cursor = [], ""
    while True:
        page = (await admin("GET", f"/api/webhooks?limit=90{cursor}")).data
        paged += page["items"]
        if page["nextCursor"] is None:
            break
        cursor = f"&cursor={page['nextCursor']}"
    assert paged == whole


async def test_sending_goes_on_while_thousands_are_listed(
    admin: Client, connection: Connection
) -> None:
    await _fill(connection, COUNT)
    await admin("GET", "/api/webhooks?limit=1")
    began = time.monotonic()
    async with _gaps() as gaps:
        answer = await admin("GET", "/api/webhooks")
    took = time.monotonic() - began
    assert len(answer.data) == COUNT
    assert max(gaps) < 0.8 * took  # it was nearly all of it when nothing gave way
