"""What people read of deliveries, attempts and events."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from dispatcher.core import ids, payload
from dispatcher.core.errors import NotFoundError
from dispatcher.core.model import Delivery
from dispatcher.core.pagination import Page
from dispatcher.services.deliveries import history
from dispatcher.services.deliveries.history import ANY_DELIVERY, History
from dispatcher.services.deliveries.history_resources import DeliveryItem
from dispatcher.services.inputs.history_filters import DeliveryFilters, EventFilters
from dispatcher.store.pool import Pool
from dispatcher.store.queries import delivery_search
from dispatcher.store.queries.deliveries import Deliveries
from tests.conftest import Connection
from tests.store import rows
from tests.store.rows import DELIVERED, FAILED, RETRIED, result

OURS = "env_default"
FOREIGN = "env_other"


@pytest.fixture
def read(pool: Pool) -> History:
    return History(pool)


@pytest.fixture
def store(pool: Pool) -> Deliveries:
    return Deliveries(pool)  # type: ignore[arg-type] # a pool is asked as a session is


@pytest.fixture(params=["merged", "looked through"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The two ways to list an environment: by its endpoints, and when these are too many."""
    if request.param == "looked through":
        monkeypatch.setattr(delivery_search, "MERGED_ENDPOINTS_LIMIT", 0)
    return OURS


async def pages(
    read: History,
    endpoint: UUID | None = None,
    filters: DeliveryFilters = ANY_DELIVERY,
    limit: int = 3,
) -> AsyncIterator[tuple[DeliveryItem, ...]]:
    before = None
    while True:
        page = await read.deliveries(OURS, endpoint, filters, before=before, limit=limit)
        yield page.items
        if page.next is None:
            return
        assert before is None or page.next < before
        before = page.next


async def listed(
    read: History,
    endpoint: UUID | None = None,
    filters: DeliveryFilters = ANY_DELIVERY,
    limit: int = 3,
) -> list[DeliveryItem]:
    return [item async for page in pages(read, endpoint, filters, limit) for item in page]


async def only(read: History, endpoint: UUID) -> DeliveryItem:
    (item,) = await listed(read, endpoint)
    return item


async def send_again(connection: Connection, of: Delivery, attempt: int) -> None:
    await rows.directed(connection, of.event_id, of.endpoint_id, delivery_id=of.id, attempt=attempt)


async def fan_out_again(connection: Connection) -> None:
    await connection.execute(
        """WITH gone AS (DELETE FROM dispatcher.inbox WHERE delivery_id IS NOT NULL RETURNING *)
           INSERT INTO dispatcher.deliveries (id, event_id, endpoint_id, environment_id, type, next_at, shard, attempt, base)
           SELECT delivery_id, event_id, endpoint_id, environment_id, type, now(), 3, attempt, attempt FROM gone"""
    )


def named(*deliveries: Delivery) -> list[str]:
    return [ids.delivery_name(delivery.id) for delivery in deliveries]


# ── one item a delivery ──────────────────────────────────────────────────────────────────────────


async def test_a_delivery_without_attempts_shows_only_its_own_fields(
    connection: Connection, read: History
) -> None:
    endpoint = await rows.endpoint(connection)
    event = await rows.event(connection, "user.created", '{"n": 1.10}')
    pending = await rows.delivery(connection, endpoint, event_id=event, due_in=60)
    item = await only(read, endpoint)
    assert (item.id, item.event_id) == (ids.delivery_name(pending.id), ids.event_name(event))
    assert (item.webhook_id, item.environment_id, item.event) == (endpoint, OURS, "user.created")
    assert (item.status, item.attempts, item.next_retry_at) == (
        "PENDING",
        0,
        datetime.fromtimestamp(pending.next_at, UTC),
    )
    assert item.created_at == datetime.fromtimestamp(ids.created_ms(pending.id) / 1000, UTC)
    assert {
        item.response_status,
        item.response_body,
        item.duration_ms,
        item.error_code,
        item.error,
        item.delivered_at,
        item.ended_at,
    } == {None}


async def test_a_pending_delivery_shows_its_last_attempt(
    connection: Connection, read: History, store: Deliveries
) -> None:
    endpoint = await rows.endpoint(connection)
    pending = await rows.delivery(connection, endpoint)
    await store.record([result(pending, RETRIED, status=500)])
    await store.record(
        [
            result(
                replace(pending, attempt=1), RETRIED, status=404, response_body=b"no", duration_ms=7
            )
        ]
    )
    item = await only(read, endpoint)
    assert (item.status, item.attempts) == ("PENDING", 2)
    assert (item.response_status, item.response_body, item.duration_ms) == (404, "no", 7)
    assert (item.error_code, item.error) == ("http", "the endpoint answered 500")
    (row,) = await rows.deliveries(connection)
    assert item.next_retry_at == row["next_at"]


async def test_a_delivery_of_an_ordered_webhook_waits_for_the_first_pending_one(
    connection: Connection, read: History
) -> None:
    ordered, plain = await rows.endpoint(connection, home=3), await rows.endpoint(connection)
    for endpoint, shows in ((ordered, True), (plain, False)):
        first, second = [
            await rows.delivery(connection, endpoint, parked=True, due_in=due) for due in (600, 0)
        ]
        name = ids.delivery_name(first.id)
        assert (await read.delivery(OURS, name)).waits_for is None
        blocked = await read.delivery(OURS, ids.delivery_name(second.id))
        assert blocked.waits_for == (name if shows else None)


async def test_a_delivery_in_quarantine_is_found_by_its_id_and_by_its_event(
    connection: Connection, read: History, store: Deliveries
) -> None:
    pending = await rows.delivery(connection, await rows.endpoint(connection))
    await store.record([result(pending, RETRIED, status=500)])
    await connection.execute(
        "WITH gone AS (DELETE FROM dispatcher.deliveries RETURNING *) INSERT INTO"
        " dispatcher.quarantine (id, event_id, environment_id, type, endpoint_id, delivery_id,"
        " attempt, reason, detail) SELECT id, event_id, environment_id, type, endpoint_id, id,"
        " attempt + 1, 'result_refused', 'no room' FROM gone"
    )
    name = ids.delivery_name(pending.id)
    delivery = await read.delivery(OURS, name)
    assert (delivery.status, delivery.attempts, delivery.error) == (
        "PENDING",
        2,
        "in quarantine: no room",
    )
    assert (delivery.ended_at, delivery.next_retry_at) == (None, None)
    assert [attempt.number for attempt in delivery.attempt_list] == [1]
    event = await read.event(OURS, ids.event_name(pending.event_id))
    assert [item.id for item in event.deliveries] == [name]
    assert await read.environment_of(name) == OURS
    with pytest.raises(NotFoundError):
        await read.delivery(FOREIGN, name)


async def test_an_ended_delivery_shows_its_result_and_time(
    connection: Connection, read: History, store: Deliveries
) -> None:
    endpoint = await rows.endpoint(connection)
    delivered, failed = [await rows.delivery(connection, endpoint) for _ in range(2)]
    await store.record([result(delivered, DELIVERED), result(failed, FAILED)])
    bad, good = await listed(read, endpoint)
    assert (good.status, good.error_code, good.error) == ("DELIVERED", None, None)
    assert good.delivered_at == good.ended_at
    assert good.ended_at is not None
    assert good.ended_at >= good.created_at
    assert (bad.status, bad.error_code, bad.error) == ("FAILED", "timeout", "no answer within 15 s")
    assert (bad.delivered_at, bad.ended_at is None) == (None, False)
    assert {good.next_retry_at, bad.next_retry_at} == {None}


async def test_the_history_of_a_deleted_webhook_can_be_read(
    connection: Connection, read: History, store: Deliveries
) -> None:
    endpoint = await rows.endpoint(connection, deleted=True)
    pending = await rows.delivery(connection, endpoint, attempt=2)
    await store.cancel_expired_and_deleted(10, 0)
    item = await only(read, endpoint)
    assert (item.status, item.error_code) == ("CANCELLED", "cancelled")
    assert (item.attempts, item.error) == (2, "the endpoint was deleted")
    assert (await read.delivery(OURS, item.id)).id == ids.delivery_name(pending.id)


async def test_a_retried_delivery_is_always_one_item(
    connection: Connection, read: History, store: Deliveries
) -> None:
    endpoint = await rows.endpoint(connection)
    sent = await rows.delivery(connection, endpoint)
    seen = []
    await store.record([result(sent, FAILED)])
    seen.append(await only(read, endpoint))
    await send_again(connection, sent, attempt=1)
    seen.append(await only(read, endpoint))
    await fan_out_again(connection)
    seen.append(await only(read, endpoint))
    await store.record([result(replace(sent, attempt=1), DELIVERED)])
    seen.append(await only(read, endpoint))
    assert [(item.status, item.attempts) for item in seen] == [
        ("FAILED", 1),
        ("PENDING", 1),
        ("PENDING", 1),
        ("DELIVERED", 2),
    ]
    assert [item.error for item in seen] == [*["no answer within 15 s"] * 3, None]
    for status, number in {"PENDING": 0, "FAILED": 0, "DELIVERED": 1}.items():
        filters = DeliveryFilters.model_validate({"status": status})
        assert len(await listed(read, endpoint, filters)) == number


async def test_a_queued_retry_is_listed(connection: Connection, read: History) -> None:
    endpoint = await rows.endpoint(connection)
    event = await rows.event(connection)
    number = await connection.fetchval("SELECT dispatcher.next_id()")
    await rows.directed(connection, event, endpoint, delivery_id=number)
    item = await only(read, endpoint)
    assert (item.id, item.status, item.attempts) == (ids.delivery_name(number), "PENDING", 0)
    assert (await read.delivery(OURS, item.id)).attempt_list == ()
    assert await read.attempts(OURS, item.id) == ()
    assert [
        delivery.id for delivery in (await read.event(OURS, ids.event_name(event))).deliveries
    ] == [item.id]


async def test_a_late_result_does_not_change_an_ended_delivery(
    connection: Connection, read: History, store: Deliveries
) -> None:
    endpoint = await rows.endpoint(connection)
    sent = await rows.delivery(connection, endpoint)
    await store.record([result(sent, DELIVERED)])
    await store.record_late([result(sent, FAILED)])
    assert (await only(read, endpoint)).status == "DELIVERED"


# ── payloads and bodies ──────────────────────────────────────────────────────────────────────────


async def test_the_payload_is_what_was_sent_byte_for_byte(
    connection: Connection, read: History
) -> None:
    data = '{"price": 1.10,  "é": "\\u00e9", "big": 1e400}'
    endpoint = await rows.endpoint(connection)
    event = await rows.event(connection, data=data)
    await rows.delivery(connection, endpoint, event_id=event)
    item = await only(read, endpoint)
    body = payload.build(event, "user.created", OURS, data)
    assert item.payload is not None
    assert item.payload.encode() == body
    assert item.payload_size == len(body)


@pytest.mark.parametrize("more", [0, 1])
async def test_a_listing_leaves_out_payloads_of_more_than_16_kib(
    connection: Connection, read: History, more: int
) -> None:
    event = await rows.event(connection, data='""')
    around = len(payload.build(event, "user.created", OURS, '""'))
    text = "é" * 1000 + "x" * (16 * 1024 - around - 2000 + more)
    await connection.execute("UPDATE dispatcher.events SET data = to_json($1::text)", text)
    endpoint = await rows.endpoint(connection)
    await rows.delivery(connection, endpoint, event_id=event)
    item = await only(read, endpoint)
    assert item.payload_size == 16 * 1024 + more
    assert (item.payload is None) == bool(more)
    one = await read.delivery(OURS, item.id)
    assert one.payload is not None
    assert len(one.payload.encode()) == one.payload_size == item.payload_size
    (listed_event,) = (await read.events(OURS)).items
    assert (listed_event.data_size, listed_event.data) == (len(text.encode()) + 2, f'"{text}"')


async def test_history_outlives_its_event(
    connection: Connection, read: History, store: Deliveries
) -> None:
    endpoint = await rows.endpoint(connection)
    await store.record([result(await rows.delivery(connection, endpoint))])
    await connection.execute("DELETE FROM dispatcher.events")
    item = await only(read, endpoint)
    assert (item.status, item.payload, item.payload_size) == ("DELIVERED", None, None)
    assert (await read.delivery(OURS, item.id)).payload is None


ANSWERS = {
    None: None,
    b"": "",
    "grün".encode(): "grün",
    b"a\x00b": "a\ufffdb",
    b"\xff\xfe": "\ufffd\ufffd",
    "grün".encode()[:3]: "gr\ufffd",
}


async def test_every_recorded_answer_can_be_read(
    connection: Connection, read: History, store: Deliveries
) -> None:
    endpoint = await rows.endpoint(connection)
    for received, shown in ANSWERS.items():
        sent = await rows.delivery(connection, endpoint)
        await store.record([result(sent, DELIVERED, response_body=received)])
        one = await read.delivery(OURS, ids.delivery_name(sent.id))
        assert (one.response_body, one.attempt_list[0].response_body) == (shown, shown), received


# ── attempts ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_delivery_has_every_attempt_oldest_first(
    connection: Connection, read: History, store: Deliveries
) -> None:
    endpoint = await rows.endpoint(connection)
    sent = await rows.delivery(connection, endpoint)
    first = result(sent, RETRIED, started_at=1_800_000_000.5)
    await store.record([first])
    await store.record([result(replace(sent, attempt=1), DELIVERED)])
    one = await read.delivery(OURS, ids.delivery_name(sent.id))
    attempt, last = one.attempt_list
    assert await read.attempts(OURS, one.id) == one.attempt_list
    assert (one.status, one.attempts) == ("DELIVERED", 2)
    assert (attempt.number, attempt.started_at.timestamp()) == (1, 1_800_000_000.5)
    assert (attempt.duration_ms, attempt.outcome, attempt.status) == (12, "http", 500)
    assert attempt.error == "the endpoint answered 500"
    assert attempt.request_headers == {
        "Content-Type": "application/json",
        "User-Agent": "Acme-Webhook/1.0",
        "X-Acme-Event": "user.created",
        "X-Acme-Delivery": one.id,
        "X-Acme-Attempt": "1",
    }
    assert attempt.response_headers == (("a", "b"),)
    assert attempt.next_at is not None
    assert (last.number, last.outcome, last.next_at) == (2, "ok", None)


async def test_the_end_without_a_request_has_no_headers(
    connection: Connection, read: History, store: Deliveries
) -> None:
    endpoint = await rows.endpoint(connection, deleted=True)
    sent = await rows.delivery(connection, endpoint)
    await store.record([result(sent, RETRIED)])
    await store.cancel_expired_and_deleted(10, 0)
    made = await read.attempts(OURS, ids.delivery_name(sent.id))
    assert [(attempt.number, attempt.outcome) for attempt in made] == [
        (1, "http"),
        (1, "cancelled"),
    ]
    assert (made[1].request_headers, made[1].response_headers) == ({}, ())
    assert made[1].response_truncated is None


LENGTHS = {
    '["Content-Length","3"]': False,
    '["content-length","4"]': True,
    '["Content-Length","3","content-length","4"]': None,
    '["Content-Length","three"]': None,
    '["Content-Length","99999999999999999999999"]': None,
    "[]": None,
}


async def test_an_excerpt_is_known_by_the_length_that_was_announced(
    connection: Connection, read: History, store: Deliveries
) -> None:
    endpoint = await rows.endpoint(connection)
    for headers, truncated in LENGTHS.items():
        sent = await rows.delivery(connection, endpoint)
        await store.record(
            [result(sent, DELIVERED, response_headers=headers, response_body=b"abc")]
        )
        (attempt,) = await read.attempts(OURS, ids.delivery_name(sent.id))
        assert attempt.response_truncated is truncated, headers


# ── pages ────────────────────────────────────────────────────────────────────────────────────────


async def test_pages_are_newest_first_and_the_last_has_no_next(
    connection: Connection, read: History, store: Deliveries, place: str
) -> None:
    endpoints = [await rows.endpoint(connection) for _ in range(2)]
    made = [await rows.delivery(connection, endpoints[n % 2]) for n in range(6)]
    await store.record([result(delivery) for delivery in made[::3]])
    newest_first = named(*reversed(made))
    assert [[item.id for item in page] async for page in pages(read)] == [
        newest_first[:3],
        newest_first[3:],
    ]
    one = await read.deliveries(OURS, endpoints[0], limit=100)
    assert ([item.id for item in one.items], one.next) == (newest_first[1::2], None)


async def test_a_delivery_that_moves_between_pages_is_listed_once(
    connection: Connection, read: History, store: Deliveries, place: str
) -> None:
    endpoint = await rows.endpoint(connection)
    made = [await rows.delivery(connection, endpoint) for _ in range(12)]
    await store.record([result(delivery) for delivery in made[::4]])
    seen: list[str] = []
    number = 0
    async for page in pages(read):
        seen += [item.id for item in page]
        await rows.delivery(connection, endpoint)  # a new one
        ending = [d for d in made if d.id % 2 == number % 2 and d not in made[::4]]
        await store.record([result(delivery, FAILED) for delivery in ending])
        if number == 1:
            await send_again(connection, made[0], attempt=1)
            await send_again(connection, made[8], attempt=1)
        if number == 2:
            await fan_out_again(connection)
        number += 1
    assert number >= 4
    assert seen == named(*reversed(made))


async def test_a_delivery_that_moves_while_pages_are_read_is_listed_once(
    connection: Connection, read: History, store: Deliveries, place: str
) -> None:
    endpoint = await rows.endpoint(connection)
    made = [await rows.delivery(connection, endpoint) for _ in range(60)]
    walked, moved_enough = asyncio.Event(), asyncio.Event()

    async def send() -> int:
        """Ends what is pending and sends again what has ended, one by one, at all times."""
        moved, number = 0, dict.fromkeys(made, 0)
        while not walked.is_set():
            delivery = random.choice(made)
            moves = result(replace(delivery, attempt=number[delivery]), FAILED)
            await store.record([moves])
            number[delivery] += 1
            await send_again(connection, delivery, number[delivery])
            await rows.delivery(connection, endpoint)
            await fan_out_again(connection)
            moved += 1
            if moved > 5:
                moved_enough.set()
        return moved

    async with asyncio.TaskGroup() as group:
        sending = group.create_task(send())
        walks: list[list[str]] = []
        while len(walks) < 5 or not (moved_enough.is_set() or sending.done()):
            walks.append([item.id for item in await listed(read, limit=7)])
        walked.set()
    assert sending.result() > 5
    old = named(*reversed(made))
    for walk in walks:
        assert len(set(walk)) == len(walk)
        assert [id_ for id_ in walk if id_ in set(old)] == old


BY_ANSWER: list[tuple[dict[str, str], Callable[[str | None, bool], bool]]] = [
    ({"error_code": "timeout"}, lambda last, _: last == "timeout"),
    ({"error_code": "timeout", "status": "PENDING"}, lambda last, p: last == "timeout" and p),
    ({"error_code": "timeout", "status": "FAILED"}, lambda last, p: last == "timeout" and not p),
    ({"response_status": "2xx"}, lambda last, _: last == "ok"),
    ({"response_status": "200", "status": "DELIVERED"}, lambda last, p: last == "ok" and not p),
    ({"response_status": "5xx"}, lambda last, _: False),
]
"""Filters by the last attempt, and whether one matches by its outcome and by being pending."""


async def by_answer(
    read: History, every: list[str], last: dict[str, str], pending: list[str], limit: int
) -> None:
    """Check the filters by the last attempt. `last` are outcomes."""
    for wish, kept in BY_ANSWER:
        filters = DeliveryFilters.model_validate(wish)
        expected = [name for name in every if kept(last.get(name), name in pending)]
        assert [item.id for item in await listed(read, None, filters, limit)] == expected, wish


@pytest.mark.long
@pytest.mark.parametrize("looked_at", [1, 4000])
async def test_pages_list_everything_with_any_read_limit(
    connection: Connection,
    read: History,
    store: Deliveries,
    place: str,
    looked_at: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Deliveries in every state that they come to by ending and being sent again."""
    monkeypatch.setattr(delivery_search, "PAGE_LIMIT_ROWS", looked_at)
    monkeypatch.setattr(delivery_search, "LOOKUPS_LIMIT", looked_at)
    chance = random.Random(7)
    endpoints = [await rows.endpoint(connection) for _ in range(3)]
    event = await rows.event(connection)
    expected: dict[str, list[str]] = {"PENDING": [], "FAILED": [], "DELIVERED": []}
    every: list[str] = []
    last: dict[str, str] = {}
    for _ in range(30):
        delivery = await rows.delivery(connection, chance.choice(endpoints), event_id=event)
        state, number = "PENDING", 0
        for again in chance.choice(["", ".", ".", ".i", ".p", "..", ".....", "..i"]):
            if number:
                await send_again(connection, delivery, number)
            if number and again != "i":
                await fan_out_again(connection)
            state = "PENDING"
            if again == ".":
                end = chance.choice([DELIVERED, FAILED])
                await store.record([result(replace(delivery, attempt=number), end)])
                state, number = str(end.state), number + 1
                last[ids.delivery_name(delivery.id)] = end.code
        every.insert(0, ids.delivery_name(delivery.id))
        expected[state].insert(0, every[0])
    for limit in (2, 7):
        assert [item.id for item in await listed(read, limit=limit)] == every
        for status, names in expected.items():
            filters = DeliveryFilters.model_validate({"status": status})
            assert [item.id for item in await listed(read, None, filters, limit)] == names
        await by_answer(read, every, last, expected["PENDING"], limit)


async def test_a_rare_match_makes_short_pages_with_a_next_one(
    connection: Connection, read: History, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_search, "PAGE_LIMIT_ROWS", 5)
    endpoint = await rows.endpoint(connection)
    rare, *_ = [await rows.delivery(connection, endpoint) for _ in range(20)]
    await connection.execute(
        "UPDATE dispatcher.deliveries SET type = 'rare' WHERE id = $1", rare.id
    )
    page_ids = [
        [item.id for item in page]
        async for page in pages(read, endpoint, DeliveryFilters(event="rare"), 1)
    ]
    assert len(page_ids) >= 3
    assert page_ids[-1] == named(rare)
    assert not any(page_ids[:-1])


# ── filters ──────────────────────────────────────────────────────────────────────────────────────


FILTERS: list[tuple[dict[str, Any], str]] = [
    ({}, "abcd"),
    ({"status": "PENDING"}, "d"),
    ({"status": "DELIVERED"}, "a"),
    ({"status": "FAILED"}, "bc"),
    ({"status": "CANCELLED"}, ""),
    ({"event": "user.created"}, "ad"),
    ({"event": "user.*"}, "abd"),
    ({"event": "user.created.*"}, ""),
    ({"event": "endpoint.*"}, "c"),
    ({"event": "*"}, "abcd"),
    ({"event": "user.*", "status": "FAILED"}, "b"),
]


async def test_filters_select_the_listed_deliveries(
    connection: Connection, read: History, store: Deliveries, place: str
) -> None:
    endpoint = await rows.endpoint(connection)
    types = {"a": "user.created", "b": "user.gone", "c": "endpoint.disabled", "d": "user.created"}
    made = {name: await rows.delivery(connection, endpoint) for name in types}
    for name, type_ in types.items():
        await connection.execute(
            "UPDATE dispatcher.deliveries SET type = $2 WHERE id = $1", made[name].id, type_
        )
    await store.record([result(made["a"]), result(made["b"], FAILED), result(made["c"], FAILED)])
    for filters, names in FILTERS:
        form = DeliveryFilters.model_validate(filters)
        expected = named(*(made[name] for name in reversed(names)))
        for where in (None, endpoint):
            assert [item.id for item in await listed(read, where, form)] == expected, filters


async def test_deliveries_and_events_are_found_by_their_reference(
    connection: Connection, read: History, store: Deliveries
) -> None:
    endpoints = [await rows.endpoint(connection) for _ in range(2)]
    await rows.environment(connection, FOREIGN)
    made, events = [], []
    for number, reference in enumerate(["ord_1", "ord_2", "ord_1", None]):
        name = await connection.fetchval(
            "SELECT dispatcher.emit('user.created', '{}', reference => $1)", reference
        )
        events.append(name)
        event_id = ids.parse("evt", name)
        made += [
            await rows.delivery(connection, endpoint, event_id=event_id) for endpoint in endpoints
        ]
        if number == 0:
            await store.record([result(made[0], FAILED)])
    await connection.execute(
        "SELECT dispatcher.emit('user.created', '{}', $1, reference => 'ord_1')", FOREIGN
    )

    async def found(limit: int = 3, **wish: Any) -> list[str]:
        filters = DeliveryFilters.model_validate(wish)
        return [item.id for item in await listed(read, None, filters, limit)]

    every = named(made[5], made[4], made[1], made[0])
    for limit in (1, 3, 50):
        assert await found(limit, reference="ord_1") == every
    assert await found(reference="ord_1", status="FAILED") == named(made[0])
    assert await found(reference="ord_1", error_code="timeout") == named(made[0])
    assert await found(reference="ord_1", event="role.*") == []
    assert await found(reference="ord_") == []
    with pytest.raises(NotFoundError):
        await read.deliveries(OURS, uuid4(), DeliveryFilters(reference="ord_1"))
    item = (await read.deliveries(OURS, filters=DeliveryFilters(reference="ord_2"))).items[0]
    assert item.reference == "ord_2"
    for limit in (1, 9):
        page = await read.events(OURS, EventFilters(reference="ord_1"), limit=limit)
        assert [event.id for event in page.items] == [events[2], events[0]][:limit]
        assert page.items[0].reference == "ord_1"
    page = await read.events(OURS, EventFilters(reference="ord_1", type="role.*"))
    assert page.items == ()


@pytest.mark.parametrize(("event_limit", "at_once"), [(5, 2), (12, 5), (100, 100)])
async def test_all_events_with_a_reference_are_searched_page_by_page(
    connection: Connection,
    read: History,
    monkeypatch: pytest.MonkeyPatch,
    event_limit: int,
    at_once: int,
) -> None:
    monkeypatch.setattr(delivery_search, "EVENTS_WITH_REFERENCE_LIMIT", event_limit)
    monkeypatch.setattr(delivery_search, "STATEMENT_LIMIT_EVENTS", at_once)
    endpoint = await rows.endpoint(connection)
    made = []
    for _ in range(12):
        event = await connection.fetchval(
            "SELECT dispatcher.emit('user.created', '{}', reference => 'ord_1')"
        )
        made.append(await rows.delivery(connection, endpoint, event_id=ids.parse("evt", event)))
    filters = DeliveryFilters(reference="ord_1")
    listed_there = [item.id for item in await listed(read, None, filters, 3)]
    assert listed_there == named(*reversed(made))


async def test_a_period_includes_its_start_and_excludes_its_end(
    connection: Connection, read: History, store: Deliveries, place: str
) -> None:
    endpoint = await rows.endpoint(connection)
    one, ended = [await rows.delivery(connection, endpoint) for _ in range(2)]
    older = replace(one, id=one.id - (1000 << ids.TIME_SHIFT))
    await connection.execute(
        "UPDATE dispatcher.deliveries SET id = $2 WHERE id = $1", one.id, older.id
    )
    one = older
    await store.record([result(ended)])
    at = {
        d.id: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ids.created_ms(d.id))
        for d in (one, ended)
    }

    async def within(**period: Any) -> list[str]:
        return [item.id for item in await listed(read, filters=DeliveryFilters(**period))]

    tick = timedelta(microseconds=1)
    assert await within(since=at[one.id]) == named(ended, one)
    assert await within(since=at[one.id] + tick) == named(ended)
    assert await within(since=at[ended.id] + tick) == []
    assert await within(until=at[ended.id] + tick) == named(ended, one)
    assert await within(until=at[ended.id]) == named(one)
    assert await within(until=at[one.id]) == []
    assert await within(since=at[one.id], until=at[ended.id]) == named(one)
    assert await within(since=datetime(2001, 1, 1, tzinfo=UTC)) == named(ended, one)
    assert await within(since=datetime(2199, 1, 1, tzinfo=UTC)) == []


# ── other environments ───────────────────────────────────────────────────────────────────────────


async def test_objects_of_other_environments_are_unknown(
    connection: Connection, read: History, store: Deliveries, place: str
) -> None:
    await rows.environment(connection, FOREIGN)
    endpoint = await rows.endpoint(connection, environment=FOREIGN)
    event = await rows.event(connection, environment=FOREIGN)
    pending = await rows.delivery(connection, endpoint, event_id=event)
    ended = await rows.delivery(connection, endpoint, event_id=event)
    await store.record([result(ended)])
    assert len((await read.deliveries(FOREIGN)).items) == 2
    assert (await read.deliveries(OURS)).items == ()
    assert (await read.events(OURS)).items == ()
    assert (await read.events(OURS, EventFilters(id=ids.event_name(event)))).items == ()
    for webhook in (endpoint, uuid4()):
        with pytest.raises(NotFoundError):
            await read.deliveries(OURS, webhook)
    for name in (*named(pending, ended), "dlv_1"):
        with pytest.raises(NotFoundError):
            await read.delivery(OURS, name)
        with pytest.raises(NotFoundError):
            await read.attempts(OURS, name)
    for name in (ids.event_name(event), "evt_1"):
        with pytest.raises(NotFoundError):
            await read.event(OURS, name)


async def test_an_invalid_name_is_unknown(read: History) -> None:
    for name in ("", "dlv_", "evt_01", "1", "dlv_99999999999999999999", "evt_\u0661"):
        for ask in (read.delivery, read.attempts, read.event):
            with pytest.raises(NotFoundError):
                await ask(OURS, name)


# ── events ───────────────────────────────────────────────────────────────────────────────────────


async def test_events_are_listed_newest_first_in_pages_and_by_filter(
    connection: Connection, read: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rows.environment(connection, FOREIGN)
    made = []
    for number in range(9):
        type_ = "role.created" if number % 3 == 0 else "user.created"
        made.append(ids.event_name(await rows.event(connection, type_)))
        await rows.event(connection, environment=FOREIGN)
    made.reverse()

    async def walk(filters: EventFilters, limit: int) -> list[str]:
        event_ids, before = [], None
        while True:
            page = await read.events(OURS, filters, before=before, limit=limit)
            event_ids += [item.id for item in page.items]
            before = page.next
            if before is None:
                return event_ids

    for looked_at in (1, 3, 4000):
        monkeypatch.setattr(history, "PAGE_LIMIT_ROWS", looked_at)
        for limit in (1, 4):
            assert await walk(EventFilters(), limit) == made
            assert await walk(EventFilters(type="role.*"), limit) == made[2::3]
            assert await walk(EventFilters(type="role.created"), limit) == made[2::3]
            assert await walk(EventFilters(type="role"), limit) == []
            assert await walk(EventFilters(id=made[4]), limit) == [made[4]]
            assert await walk(EventFilters(id=made[4], type="a"), limit) == []
            assert await walk(EventFilters(id="evt_9999999999999999999"), limit) == []
    assert await walk(EventFilters(until=datetime(2025, 1, 1, tzinfo=UTC)), 4) == []
    assert await walk(EventFilters(since=datetime(2025, 1, 1, tzinfo=UTC)), 4) == made


async def test_an_event_is_shown_with_its_text_its_key_and_its_deliveries(
    connection: Connection, read: History, store: Deliveries, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = '{"a": 1.0,\n"b":"' + "x" * 20_000 + '"}'
    name = await connection.fetchval(
        "SELECT dispatcher.emit('user.created', $1, idempotency_key => 'k1')", data
    )
    waiting = await read.event(OURS, name)
    assert (waiting.data, waiting.data_size) == (data, len(data))
    assert (waiting.idempotency_key, waiting.source) == ("k1", "producer")
    assert (waiting.waiting, waiting.deliveries) == ("inbox", ())
    (item,) = (await read.events(OURS)).items
    assert (item.data, item.data_size) == (None, len(data))

    await connection.execute("DELETE FROM dispatcher.inbox")
    event = ids.parse("evt", name)
    made = [
        await rows.delivery(connection, await rows.endpoint(connection), event_id=event)
        for _ in range(5)
    ]
    await store.record([result(made[1]), result(made[3], FAILED)])
    await send_again(connection, made[3], attempt=1)
    shown = await read.event(OURS, name)
    assert (shown.waiting, shown.more_deliveries) == (None, False)
    newest_first = named(*reversed(made))
    assert [item.id for item in shown.deliveries] == newest_first
    assert [item.status for item in shown.deliveries] == [
        "PENDING",
        "PENDING",
        "PENDING",
        "DELIVERED",
        "PENDING",
    ]
    monkeypatch.setattr(history, "DELIVERIES_OF_EVENT_LIMIT", 2)
    shown = await read.event(OURS, name)
    assert [item.id for item in shown.deliveries] == newest_first[:2]
    assert shown.more_deliveries
    below = await read.deliveries_of_event(OURS, name, before=made[3].id, limit=2)
    assert ([item.id for item in below.items], below.next) == (newest_first[2:4], made[1].id)
    last = await read.deliveries_of_event(OURS, name, before=below.next, limit=2)
    assert ([item.id for item in last.items], last.next) == (newest_first[4:], None)


async def test_the_deliveries_of_an_event_are_those_of_its_environment(
    connection: Connection, read: History
) -> None:
    event = await rows.event(connection)
    name = ids.event_name(event)
    assert await read.deliveries_of_event(OURS, name) == Page((), None)
    await rows.delivery(connection, await rows.endpoint(connection), event_id=event)
    for environment, asked in (("env_other", name), (OURS, "evt_1"), (OURS, "dlv_1"), (OURS, "")):
        with pytest.raises(NotFoundError, match="There is no event"):
            await read.deliveries_of_event(environment, asked)


@pytest.mark.parametrize("place_of_waiting", ["inbox", "schema_check", "quarantine"])
async def test_a_waiting_event_shows_its_state(
    connection: Connection, read: History, place_of_waiting: str
) -> None:
    if place_of_waiting == "schema_check":
        await connection.execute(
            """INSERT INTO dispatcher.event_types (environment_id, name, schema, enforce)
               VALUES ('env_default', 'user.created', '{}', true)"""
        )
    event = await rows.event(connection)
    if place_of_waiting == "quarantine":
        await connection.execute(
            """WITH gone AS (DELETE FROM dispatcher.inbox RETURNING *)
               INSERT INTO dispatcher.quarantine (id, event_id, environment_id, type, attempt, reason, detail)
               SELECT id, event_id, environment_id, type, attempt, 'bad', 'so bad' FROM gone"""
        )
    assert (await read.event(OURS, ids.event_name(event))).waiting == place_of_waiting


async def test_nothing_is_above_the_largest_id(connection: Connection, read: History) -> None:
    await rows.delivery(connection, await rows.endpoint(connection))
    assert await read.deliveries(OURS, after=ids.LARGEST_ID) == Page((), None)
    assert await read.events(OURS, after=ids.LARGEST_ID) == Page((), None)
    assert await read.events(OURS, EventFilters(reference="ord_1"), after=ids.LARGEST_ID) == Page(
        (), None
    )
