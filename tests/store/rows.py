"""Rows that tests begin with, and rows as they find them. All written past the store."""

from dataclasses import replace
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from dispatcher.core import ids
from dispatcher.core.model import Delivery, Outcome, Result, Sent
from dispatcher.store.queries.deliveries import Deliveries
from tests.conftest import Connection
from tests.waiting import until

Row = asyncpg.Record

DAEMON = 7
_number = count(1)


async def endpoint(
    connection: Connection,
    *events: str,
    environment: str = "env_default",
    active: bool = True,
    deleted: bool = False,
    home: int | None = None,
    id: UUID | None = None,
) -> UUID:
    """An endpoint subscribed to `events`; an ordered one if it has a home shard."""
    endpoint_id = id or uuid4()
    await connection.execute(
        """INSERT INTO dispatcher.endpoints
             (id, environment_id, name, url, secret, version, active, deleted_at, ordered, home_shard)
           VALUES ($1, $2, 'one', 'http://127.0.0.1/', 'secret', 1, $3, CASE WHEN $4 THEN now() END,
                   $5::smallint IS NOT NULL, coalesce($5, 0))""",
        endpoint_id,
        environment,
        active,
        deleted,
        home,
    )
    await connection.executemany(
        "INSERT INTO dispatcher.subscriptions (environment_id, pattern, endpoint_id) VALUES ($1, $2, $3)",
        [(environment, pattern, endpoint_id) for pattern in events],
    )
    return endpoint_id


async def environment(connection: Connection, id: str) -> str:
    await connection.execute("INSERT INTO dispatcher.environments (id, name) VALUES ($1, $1)", id)
    return id


async def event(
    connection: Connection,
    type: str = "user.created",
    data: str = "{}",
    environment: str = "env_default",
) -> int:
    """An event as a producer emits it, in the inbox."""
    name = await connection.fetchval(
        "SELECT dispatcher.emit($1, $2, environment_id => $3)", type, data, environment
    )
    return ids.parse("evt", name)


async def directed(
    connection: Connection,
    event_id: int,
    endpoint_id: UUID,
    *,
    delivery_id: int | None = None,
    attempt: int = 0,
) -> int:
    """An inbox row for one endpoint."""
    number: int = await connection.fetchval(
        """INSERT INTO dispatcher.inbox_directed (id, event_id, environment_id, type, endpoint_id, delivery_id, attempt)
           SELECT dispatcher.next_id(), $1, environment_id, type, $2, $3, $4 FROM dispatcher.events WHERE id = $1
           RETURNING id""",
        event_id,
        endpoint_id,
        delivery_id,
        attempt,
    )
    return number


async def leave_inbox(connection: Connection) -> None:
    """Make pending what is queued again, as a fan-out does."""
    await connection.execute(
        """WITH picked AS (DELETE FROM dispatcher.inbox_directed RETURNING *)
           INSERT INTO dispatcher.deliveries (id, event_id, endpoint_id, environment_id, type, next_at, shard, attempt, base)
           SELECT delivery_id, event_id, endpoint_id, environment_id, type, now(), 3, attempt, attempt FROM picked"""
    )


async def delivery(
    connection: Connection,
    endpoint_id: UUID,
    *,
    event_id: int | None = None,
    shard: int = 3,
    attempt: int = 0,
    base: int = 0,
    due_in: float = 0.0,
    parked: bool = False,
) -> Delivery:
    """A pending delivery, of an event that is not in the inbox any more."""
    if event_id is None:
        async with connection.transaction():  # otherwise a daemon could fan the event out before
            event_id = await event(connection)
            await connection.execute("DELETE FROM dispatcher.inbox WHERE id = $1", event_id)
    row = await connection.fetchrow(
        """INSERT INTO dispatcher.deliveries
             (id, event_id, endpoint_id, environment_id, type, next_at, shard, attempt, base, parked)
           SELECT dispatcher.next_id(), $1, e.id, e.environment_id, 'user.created',
                  now() + make_interval(secs => $3), $4, $5, $6, $7
           FROM dispatcher.endpoints e WHERE e.id = $2
           RETURNING id, extract(epoch FROM next_at)::float8 AS next_at""",
        event_id,
        endpoint_id,
        due_in,
        shard,
        attempt,
        base,
        parked,
    )
    assert row is not None
    return Delivery(row["id"], event_id, endpoint_id, shard, attempt, base, row["next_at"])


DELIVERED = Outcome("ok", None, "DELIVERED", None, None, None)
RETRIED = Outcome("http", "the endpoint answered 500", None, 10.0, None, None)
FAILED = Outcome("timeout", "no answer within 15 s", "FAILED", None, None, None)


async def resent_and_quarantined(connection: Connection, store: Deliveries, of: Delivery) -> None:
    """Send an ended delivery again, and have the database refuse the result of that attempt."""
    await connection.execute(
        """INSERT INTO dispatcher.deliveries (id, event_id, endpoint_id, environment_id, type, next_at, shard, attempt)
           SELECT delivery_id, event_id, endpoint_id, environment_id, type, now(), 3, attempt
           FROM dispatcher.attempts WHERE delivery_id = $1 ORDER BY id DESC LIMIT 1""",
        of.id,
    )
    assert await store.quarantine(replace(of, attempt=of.attempt + 1), "refused")


def result(of: Delivery, outcome: Outcome = DELIVERED, **changes: Any) -> Result:
    """An attempt, started at a moment that no other one has."""
    answered = outcome.code in ("ok", "http")
    made = Result(
        delivery=of,
        outcome=outcome,
        started_at=1_800_000_000 + next(_number),
        status={"ok": 200, "http": 500}.get(outcome.code),
        duration_ms=12,
        sent=Sent("Acme", 1_700_000_000),
        response_headers='["a","b"]' if answered else None,
        response_body=b"\x00\xff" if answered else None,
    )
    return replace(made, **changes)


async def inbox(connection: Connection) -> list[int]:
    rows = await connection.fetch("SELECT id FROM dispatcher.inbox ORDER BY id")
    return [row["id"] for row in rows]


async def deliveries(connection: Connection) -> list[Row]:
    return await connection.fetch("SELECT * FROM dispatcher.deliveries ORDER BY id")


async def queued(connection: Connection) -> list[tuple[int, UUID]]:
    """Return the pairs of event and endpoint with a delivery, sorted."""
    return sorted((row["event_id"], row["endpoint_id"]) for row in await deliveries(connection))


async def attempts(connection: Connection) -> list[Row]:
    return await connection.fetch("SELECT * FROM dispatcher.attempts ORDER BY id")


async def until_true(connection: Connection, question: str, *values: object) -> None:
    """Return when the answer of the database is true; TimeoutError contains the question."""
    await until(lambda: connection.fetchval(question, *values), question)


async def waits_for_lock(connection: Connection, pid: int) -> None:
    await until_true(
        connection, "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $1", pid
    )


async def any_waits_for_lock(connection: Connection) -> None:
    await until_true(
        connection,
        "SELECT EXISTS (SELECT FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock')",
    )
