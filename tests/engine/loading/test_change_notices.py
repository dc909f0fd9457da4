"""The reader of change notices: how many it applies at once, and whether there are more."""

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest

from dispatcher.engine.buffer.delivery_buffer import DeliveryBuffer
from dispatcher.engine.buffer.endpoint_queue import QueueSettings
from dispatcher.engine.buffer.endpoint_queues import EndpointQueues
from dispatcher.engine.loading import change_notices as module
from dispatcher.engine.loading.change_notices import ChangeNoticeReader
from dispatcher.engine.loading.endpoint_cache import EndpointCache
from dispatcher.store.queries.change_notices import ChangeNotices
from dispatcher.store.queries.deliveries import Deliveries
from dispatcher.store.session import Session
from tests.conftest import Connection
from tests.store import rows


async def load(_: object) -> None:
    """Know all endpoints."""


async def test_it_says_that_there_may_be_more_until_all_are_applied(
    connection: Connection, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "NOTICES_LIMIT", 2)
    endpoint = await rows.endpoint(connection)
    gone = [await rows.delivery(connection, endpoint, shard=7) for _ in range(5)]
    await ChangeNotices(session).add(gone)
    await connection.execute("DELETE FROM dispatcher.deliveries")
    buffer = DeliveryBuffer(capacity=10, queues=EndpointQueues(10))
    buffer.own(frozenset({7}))
    buffer.configure(endpoint, QueueSettings(limit=9))
    reader = ChangeNoticeReader(
        ChangeNotices(session),
        Deliveries(session),
        buffer,
        cast(EndpointCache, SimpleNamespace(load=load)),
        now=lambda: 0.0,
        wake=asyncio.Event().set,
    )
    assert [await reader.apply_next() for _ in range(3)] == [True, True, False]
    assert await connection.fetchval("SELECT count(*) FROM dispatcher.change_notices") == 0
