"""Events: every way of inserting them, what is refused and how it is said, and their exact text."""

import re
from io import BytesIO

import asyncpg
import pytest

from dispatcher.core import ids
from dispatcher.core.model import Delivery, Outcome, State
from dispatcher.store.queries.deliveries import Deliveries
from dispatcher.store.queries.events import EventRejectedError, Events
from dispatcher.store.session import Session
from tests.conftest import Connection
from tests.store import rows

INSERT = "INSERT INTO dispatcher.events (type, data) VALUES ($1, $2)"


@pytest.fixture
def events(session: Session) -> Events:
    return Events(session)


async def insert(
    connection: Connection, data: str = "{}", type: str = "user.created", **columns: str
) -> None:
    names = ["type", "data", *columns]
    marks = ", ".join(f"${n}" for n in range(1, len(names) + 1))
    await connection.execute(
        f"INSERT INTO dispatcher.events ({', '.join(names)}) VALUES ({marks})",  # noqa: S608
        type,
        data,
        *columns.values(),
    )


async def stored(connection: Connection) -> list[str]:
    """The texts of all events, in the order of their ids."""
    records = await connection.fetch("SELECT data::text AS data FROM dispatcher.events ORDER BY id")
    return [row["data"] for row in records]


async def nothing_was_inserted(connection: Connection) -> bool:
    tables = ["dispatcher.events", "dispatcher.inbox", "dispatcher.idempotency_keys"]
    counts = [await connection.fetchval(f"SELECT count(*) FROM {table}") for table in tables]  # noqa: S608
    return counts == [0, 0, 0]


# ── ways in ─────────────────────────────────────────────────────────────────────────────────────


async def test_an_inserted_row_is_an_event_of_the_default_environment_in_the_inbox(
    connection: Connection,
) -> None:
    await insert(connection, '{"id": 1}')
    row = await connection.fetchrow("SELECT * FROM dispatcher.events")
    assert row is not None
    assert (row["environment_id"], row["type"], row["data"]) == (
        "env_default",
        "user.created",
        '{"id": 1}',
    )
    assert (row["idempotency_key"], row["source"]) == (None, "producer")
    waiting = await connection.fetchrow("SELECT * FROM dispatcher.inbox")
    assert waiting is not None
    assert dict(waiting) == {
        "id": row["id"],
        "event_id": row["id"],
        "environment_id": "env_default",
        "type": "user.created",
        "endpoint_id": None,
        "delivery_id": None,
        "attempt": 0,
        "after_endpoint": None,
    }


async def test_many_rows_of_one_statement_are_as_many_events_in_their_order(
    connection: Connection,
) -> None:
    await connection.execute(
        """INSERT INTO dispatcher.events (type, data)
           SELECT 'a.b', to_json(n) FROM generate_series(1, 1000) AS n"""
    )
    assert await stored(connection) == [str(n) for n in range(1, 1001)]
    assert len(await rows.inbox(connection)) == 1000


async def test_copy_in_binary_and_in_text_emits_events(connection: Connection) -> None:
    await connection.copy_records_to_table(
        "events",
        schema_name="dispatcher",
        columns=["type", "data"],
        records=[("a", "1"), ("a", '{"b": 1.10}')],
    )
    await connection.copy_to_table(
        "events",
        schema_name="dispatcher",
        columns=["type", "data"],
        source=BytesIO(b'a\t"tab \\\\t"\n'),
    )
    assert await stored(connection) == ["1", '{"b": 1.10}', '"tab \\t"']
    assert len(await rows.inbox(connection)) == 3


async def test_a_statement_of_no_rows_emits_nothing(connection: Connection) -> None:
    await connection.execute(
        "INSERT INTO dispatcher.events (type, data) SELECT 'a', '1' WHERE false"
    )
    assert await nothing_was_inserted(connection)


async def test_a_transaction_rolled_back_leaves_nothing(connection: Connection) -> None:
    transaction = connection.transaction()
    await transaction.start()
    await insert(connection, idempotency_key="k")
    await transaction.rollback()
    assert await nothing_was_inserted(connection)


async def test_emit_returns_the_public_id_of_the_event(
    connection: Connection, events: Events
) -> None:
    name = await events.emit("order.paid", '{"a": 1}', environment_id="env_default")
    row = await connection.fetchrow("SELECT id, type, data FROM dispatcher.events")
    assert row is not None
    assert (row["id"], row["type"], row["data"]) == (
        ids.parse("evt", name),
        "order.paid",
        '{"a": 1}',
    )
    assert await rows.inbox(connection) == [row["id"]]


async def test_emit_takes_positions_names_and_defaults(connection: Connection) -> None:
    await rows.environment(connection, "env_b")
    for call in (
        "emit('a', '1')",
        "emit('a', '1', 'env_b')",
        "emit('a', '1'::json, environment_id => 'env_b', idempotency_key => 'k')",
        "emit(data => '1', type => 'a', environment_id => NULL, idempotency_key => NULL)",
    ):
        assert re.fullmatch(
            r"evt_\d{18,19}", await connection.fetchval(f"SELECT dispatcher.{call}")
        )
    records = await connection.fetch("SELECT environment_id FROM dispatcher.events ORDER BY id")
    assert [row[0] for row in records] == ["env_default", "env_b", "env_b", "env_default"]


async def test_a_jsonb_value_is_emitted_by_a_cast(connection: Connection) -> None:
    await connection.fetchval("""SELECT dispatcher.emit('a', '{"b": 1}'::jsonb::json)""")
    assert await stored(connection) == ['{"b": 1}']


async def test_events_with_a_moments_id_are_in_that_days_partition(connection: Connection) -> None:
    await insert(connection)
    partition, today = await connection.fetchrow(
        """SELECT tableoid::regclass::text, 'dispatcher.events' ||
             to_char(dispatcher.id_time(id) AT TIME ZONE 'UTC', '_YYYYMMDD') FROM dispatcher.events"""
    ) or ("", None)
    assert partition == today


async def test_an_operational_event_needs_a_subscription_to_its_exact_type(
    connection: Connection, session: Session, events: Events
) -> None:
    await rows.endpoint(connection, "delivery.exhausted")
    await rows.environment(connection, "env_b")
    await rows.endpoint(connection, "*", "delivery.*", environment="env_b")
    ended = [
        await failed(connection, session, environment) for environment in ("env_default", "env_b")
    ]
    await connection.execute("UPDATE dispatcher.settings SET max_data = 1")  # for producers
    await events.emit_exhausted([(delivery.id, 3) for delivery in ended])
    (event,) = await exhausted(connection)
    assert (event["environment_id"], event["source"]) == ("env_default", "dispatcher")
    assert event["data"] == (
        f'{{"webhook_id":"{ended[0].endpoint_id}","delivery_id":"dlv_{ended[0].id}",'
        f'"event_id":"evt_{ended[0].event_id}","event":"user.created","attempts":3,"error":"äh"}}'
    )
    assert len(await rows.inbox(connection)) == 1


@pytest.mark.parametrize("state", [None, "DELIVERED", "CANCELLED", "FAILED"])
async def test_only_a_failed_delivery_is_exhausted_and_only_once(
    connection: Connection, session: Session, events: Events, state: State | None
) -> None:
    await rows.endpoint(connection, "delivery.exhausted")
    delivery = await failed(connection, session, state=state)
    for number in (2, 3, 3, 4):
        await events.emit_exhausted([(delivery.id, number), (delivery.id + 1, number)])
    assert len(await exhausted(connection)) == (1 if state == "FAILED" else 0)


async def test_no_event_is_emitted_about_an_operational_event(
    connection: Connection, session: Session, events: Events
) -> None:
    await rows.endpoint(connection, "delivery.exhausted")
    delivery = await failed(connection, session, type_="endpoint.disabled")
    await events.emit_exhausted([(delivery.id, 3)])
    assert await exhausted(connection) == []


async def failed(
    connection: Connection,
    session: Session,
    environment: str = "env_default",
    *,
    type_: str = "user.created",
    state: State | None = "FAILED",
) -> Delivery:
    """A delivery of a new endpoint that ended so with its third attempt."""
    endpoint_id = await rows.endpoint(connection, "user.*", environment=environment)
    delivery = await rows.delivery(connection, endpoint_id, attempt=2)
    await connection.execute("UPDATE dispatcher.deliveries SET type = $1", type_)
    outcome = Outcome("http", "äh", state, None if state else 5.0, None, None)
    await Deliveries(session).record([rows.result(delivery, outcome)])
    return delivery


async def exhausted(connection: Connection) -> list[asyncpg.Record]:
    return await connection.fetch(
        "SELECT environment_id, source, data::text FROM dispatcher.events WHERE type = 'delivery.exhausted'"
    )


# ── refusals ────────────────────────────────────────────────────────────────────────────────────

WORDS = "type must be words of A-Z a-z 0-9 _ joined by single dots"


@pytest.mark.parametrize(
    ("type", "complaint"),
    [
        ("", WORDS),
        ("user created", WORDS),
        ("user-created", WORDS),
        (".user", WORDS),
        ("user.", WORDS),
        ("user..created", WORDS),
        ("user.*", WORDS),
        ("user\n", WORDS),
        ("größe", WORDS),
        ("x" * 129, "type must be at most 128 bytes"),
        ("webhook.test", "type is reserved to the dispatcher"),
        ("endpoint.disabled", "type is reserved to the dispatcher"),
        ("delivery.a.b", "type is reserved to the dispatcher"),
    ],
)
async def test_an_invalid_type_is_refused_by_insert_and_emit(
    connection: Connection, events: Events, type: str, complaint: str
) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match=complaint):
        await insert(connection, type=type)
    with pytest.raises(EventRejectedError, match=complaint):
        await events.emit(type, "{}", environment_id="env_default")
    assert await nothing_was_inserted(connection)


@pytest.mark.parametrize(
    "type", ["a", "x" * 128, "A.b_9.0", "endpoint", "deliverys.a", "webhook.tests"]
)
async def test_a_type_at_the_edge_is_accepted(connection: Connection, type: str) -> None:
    await insert(connection, type=type)
    assert await connection.fetchval("SELECT type FROM dispatcher.events") == type


async def test_an_unknown_environment_refuses_the_whole_statement(
    connection: Connection, events: Events
) -> None:
    complaint = "unknown environment 'env_''x'"
    with pytest.raises(EventRejectedError, match=complaint) as refused:
        await events.emit("a", "{}", environment_id="env_'x")
    assert "create it: dispatcher environment create" in str(refused.value)
    with pytest.raises(asyncpg.ForeignKeyViolationError, match=complaint):
        await connection.execute(
            """INSERT INTO dispatcher.events (type, data, environment_id, idempotency_key)
               VALUES ('a', '1', 'env_default', 'k'), ('a', '2', 'env_''x', 'l')"""
        )
    assert await nothing_was_inserted(connection)


async def test_data_over_the_configured_limit_is_refused_with_both_sizes(
    connection: Connection,
) -> None:
    await connection.execute("UPDATE dispatcher.settings SET max_data = 20")
    await insert(connection, f'"{"ä" * 9}"')
    with pytest.raises(
        asyncpg.CheckViolationError, match="data is 21 bytes, the limit is 20"
    ) as no:
        await insert(connection, f'"{"ä" * 9}" ')
    assert "delivery.max_data" in str(no.value.hint)
    assert len(await stored(connection)) == 1


async def test_the_default_limit_is_256_kib(connection: Connection) -> None:
    await insert(connection, f'"{"x" * (256 * 1024 - 2)}"')
    with pytest.raises(asyncpg.CheckViolationError, match="data is 262145 bytes"):
        await insert(connection, f'"{"x" * (256 * 1024 - 1)}"')


async def test_no_setting_allows_data_over_8_mib(connection: Connection) -> None:
    await connection.execute("UPDATE dispatcher.settings SET max_data = 8388608")
    await insert(connection, f'"{"x" * (8 * 2**20 - 2)}"')
    with pytest.raises(asyncpg.CheckViolationError, match="data must be at most 8 MiB"):
        await insert(connection, f'"{"x" * (8 * 2**20 - 1)}"')
    with pytest.raises(asyncpg.CheckViolationError):
        await connection.execute("UPDATE dispatcher.settings SET max_data = 8388609")


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"a":NaN}', "Infinity", "{'a':1}", '{"a":1,}', '"\x01"', "01", '"\\x"', "{} {}"],
)
async def test_data_that_is_not_json_is_refused(
    connection: Connection, events: Events, text: str
) -> None:
    with pytest.raises(
        asyncpg.InvalidTextRepresentationError, match="invalid input syntax for type json"
    ):
        await insert(connection, text)
    with pytest.raises(asyncpg.InvalidTextRepresentationError):
        await events.emit("a", text, environment_id="env_default")


async def test_an_event_has_a_type_and_data(connection: Connection) -> None:
    for statement in (
        "INSERT INTO dispatcher.events (type) VALUES ('a')",
        "INSERT INTO dispatcher.events (data) VALUES ('1')",
        "SELECT dispatcher.emit('a', NULL)",
        "SELECT dispatcher.emit(NULL, '1')",
    ):
        with pytest.raises(asyncpg.NotNullViolationError):
            await connection.execute(statement)


# ── text ────────────────────────────────────────────────────────────────────────────────────────

TEXTS = [
    '{"b":1,"a":2,"b":3}',
    "{}",
    "null",
    " [1 ,\n\t2]\r\n",
    '{"price":1.10,"zero":-0.0,"big":9007199254740993,"huge":1e400,"E":1E+2}',
    '{"nul":"\\u0000","lone":"\\ud800","other":"\\udc00 x","pair":"\\ud83d\\ude00"}',
    '{"slash":"\\/","less":"\\u003c","quote":"\\"","letters":"äöü 😀 \u2028"}',
    '"' + "\x7f" + '"',
    '{"long":"' + "x y" * 70_000 + '"}',
]


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
async def test_data_is_stored_byte_for_byte(
    connection: Connection, events: Events, text: str
) -> None:
    await insert(connection, text)
    emitted = ids.parse("evt", await events.emit("a.b", text, environment_id="env_default"))
    inserted = await connection.fetchval("SELECT min(id) FROM dispatcher.events")
    by_id = {row["id"]: row for row in await events.with_ids([inserted, emitted])}
    assert by_id[inserted]["data"] == by_id[emitted]["data"] == text
    assert dict(by_id[emitted]) == {
        "id": emitted,
        "environment_id": "env_default",
        "type": "a.b",
        "data": text,
    }


@pytest.mark.parametrize(("most_bytes", "read"), [(1, 1), (10, 1), (11, 2), (1_000, 3)])
async def test_events_to_send_come_with_data_until_there_is_enough(
    connection: Connection, events: Events, most_bytes: int, read: int
) -> None:
    event_ids = [await rows.event(connection, data=f'"{"x" * size}"') for size in (500, 8, 98)]
    data_by_id = {row["id"]: row["data"] for row in await events.to_send(event_ids, most_bytes)}
    assert data_by_id.keys() == set(event_ids)
    assert [len(data) for data in data_by_id.values() if data] == [10, 100, 502][:read]


async def test_reading_events_skips_missing_ids(connection: Connection, events: Events) -> None:
    there = await rows.event(connection)
    records = await events.with_ids([there, there + 1, 5, ids.LARGEST_ID])
    assert [row["id"] for row in records] == [there]
    assert await events.with_ids([]) == []


@pytest.mark.parametrize("reference", ["ord_894287", "x" * 255, "ä" * 127, " ", None])
async def test_a_reference_of_1_to_255_bytes_is_kept(
    connection: Connection, reference: str | None
) -> None:
    await connection.execute(
        "INSERT INTO dispatcher.events (type, data, reference) VALUES ('a', '1', $1)", reference
    )
    await connection.execute("SELECT dispatcher.emit('a', '1', reference => $1)", reference)
    kept = await connection.fetch("SELECT reference FROM dispatcher.events")
    assert [row["reference"] for row in kept] == [reference, reference]


@pytest.mark.parametrize("reference", ["", "x" * 256, "ä" * 128])
async def test_a_reference_of_other_lengths_is_refused(
    connection: Connection, reference: str
) -> None:
    with pytest.raises(
        asyncpg.CheckViolationError, match="reference must be 1 to 255 bytes"
    ) as raised:
        await connection.execute("SELECT dispatcher.emit('a', '1', reference => $1)", reference)
    assert f"reference, source) = (a, null, {reference[:64]}, producer)" in str(raised.value.detail)
    assert await nothing_was_inserted(connection)


@pytest.mark.parametrize("column", ["type", "data", "environment_id"])
async def test_a_column_that_is_null_is_refused_by_its_name(
    connection: Connection, column: str
) -> None:
    columns = {"type": "a.b", "data": "1", "environment_id": "env_default", column: None}
    with pytest.raises(asyncpg.NotNullViolationError) as raised:
        await connection.execute(
            "INSERT INTO dispatcher.events (type, data, environment_id) VALUES ($1, $2, $3)",
            *columns.values(),
        )
    assert raised.value.column_name == column


async def test_an_idempotency_key_that_is_null_is_none(connection: Connection) -> None:
    for _ in range(2):
        await connection.execute(
            "INSERT INTO dispatcher.events (type, data, idempotency_key) VALUES ('a', '1', NULL)"
        )
    assert await connection.fetchval("SELECT count(*) FROM dispatcher.events") == 2


async def test_a_failure_with_an_id_below_that_of_its_delivery_is_found(
    connection: Connection, session: Session, events: Events
) -> None:
    """The database's clock was set back in between."""
    await rows.endpoint(connection, "delivery.exhausted")
    delivery = await failed(connection, session)
    await connection.execute("UPDATE dispatcher.attempts SET id = delivery_id - 1000")
    await events.emit_exhausted([(delivery.id, 3)])
    assert len(await exhausted(connection)) == 1
