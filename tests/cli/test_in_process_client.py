"""The client without a daemon: it does what the API does."""

from collections.abc import AsyncIterator

import pytest

from dispatcher import client as clients
from dispatcher.cli.database import Database
from dispatcher.cli.in_process_client import InProcessClient, open_client
from dispatcher.client.resources import JsonText
from dispatcher.config.loading import load
from dispatcher.config.sections import Config
from dispatcher.encryption.keyring import KeyRejectedError
from tests.conftest import Connection

IDS = "SELECT 'evt_' || id AS id FROM dispatcher.events ORDER BY id"


@pytest.fixture
async def client(dsn: str) -> AsyncIterator[InProcessClient]:
    async with open_client(Config(), Database(dsn, ours=False), None) as opened:
        yield opened


async def test_many_events_are_emitted_in_order(
    client: InProcessClient, connection: Connection
) -> None:
    events = [
        {"type": "a.b", "data": JsonText("1.50"), "idempotency_key": "k"},
        {"type": "a.c"},
    ]
    first = await client.events.emit_many(events)
    again = await client.events.emit_many(events)
    assert [event.repeated for event in first] == [False, False]
    assert [event.repeated for event in again] == [True, False]
    assert [event.id for event in [*first, again[1]]] == [
        row["id"] for row in await connection.fetch(IDS)
    ]
    rows = await connection.fetch("SELECT type, data::text FROM dispatcher.events ORDER BY id")
    assert [(row["type"], row["data"]) for row in rows[:2]] == [("a.b", "1.50"), ("a.c", "null")]


async def test_a_wrong_event_of_many_is_named_by_its_index(
    client: InProcessClient, connection: Connection
) -> None:
    with pytest.raises(clients.InvalidError) as raised:
        await client.events.emit_many([{"type": "a.b"}, {"type": "endpoint.x"}])
    assert raised.value.details[0]["pointer"] == "/1/type"
    assert await connection.fetch(IDS) == []


async def test_the_same_key_of_a_request_emits_its_events_once(
    client: InProcessClient, connection: Connection
) -> None:
    events = [{"type": "a.b"}, {"type": "a.c"}]
    first = await client.events.emit_many(events, idempotency_key="request")
    assert await client.events.emit_many(events, idempotency_key="request") == first
    with pytest.raises(clients.ConflictError):
        await client.events.emit_many(events[:1], idempotency_key="request")
    assert len(await connection.fetch(IDS)) == 2


@pytest.mark.parametrize(
    "secret",
    [
        {"headers": {"X-Own": "hush"}},
        {"authentication": {"type": "basic", "username": "a", "password": "hush"}},
        {"url": "https://a:hush@example.com/"},
    ],
)
async def test_no_secret_is_encrypted_with_another_key(
    dsn: str, connection: Connection, secret: dict[str, object]
) -> None:
    right, wrong = (
        load(environ={}, overrides={"secrets": {"key": digits * 32}}) for digits in ("ab", "cd")
    )
    place = Database(dsn, ours=False)
    async with open_client(right, place, None) as opened:
        webhook = await opened.webhooks.create("https://example.com/", ["*"])
    stored = "SELECT (headers, authentication_sealed, url)::text FROM dispatcher.endpoints"
    before = await connection.fetchval(stored)
    async with open_client(wrong, place, None) as opened:
        with pytest.raises(KeyRejectedError):
            await opened.webhooks.update(webhook.id, **secret)
    assert await connection.fetchval(stored) == before
