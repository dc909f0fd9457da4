"""Ids as the database makes them, and the time inside them."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dispatcher.core import ids
from tests.conftest import Connection, connected

SEQUENCE = 2**ids.TIME_SHIFT - 1

EPOCH = datetime(2024, 1, 1, tzinfo=UTC)

moments = st.integers(0, 2**41 - 1).map(lambda ms: EPOCH + timedelta(milliseconds=ms))


async def next_id(connection: Connection) -> int:
    number: int = await connection.fetchval("SELECT dispatcher.next_id()")
    return number


async def test_an_id_contains_the_databases_time_in_milliseconds(connection: Connection) -> None:
    row = await connection.fetchrow(
        "SELECT clock_timestamp() AS before, dispatcher.next_id() AS id, clock_timestamp() AS after"
    )
    assert row is not None
    created = ids.created_ms(row["id"]) / 1000
    assert row["before"].timestamp() - 0.001 <= created <= row["after"].timestamp() + 0.001


@pytest.mark.parametrize("days", [1, 3])
@pytest.mark.parametrize("seconds", [0, 43_200, 86_399.999])
async def test_the_ids_of_days_are_those_of_their_partitions(
    connection: Connection, days: int, seconds: float
) -> None:
    day = datetime(2026, 3, 1, tzinfo=UTC)
    bounds = await connection.fetchval(
        """SELECT ARRAY[dispatcher.id_floor($1::timestamptz - make_interval(days => $2 - 1)),
                        dispatcher.id_floor($1 + interval '1 day')]""",
        day,
        days,
    )
    of_days = ids.of_days(day.timestamp() + seconds, days)
    assert [of_days.start, of_days.stop] == bounds


async def test_ids_drawn_alternately_by_two_sessions_grow(dsn: str, connection: Connection) -> None:
    async with connected(dsn) as other:
        drawn = [await next_id(session) for _ in range(200) for session in (connection, other)]
    assert all(earlier < later for earlier, later in pairwise(drawn))


async def test_an_idle_session_draws_no_old_number(dsn: str, connection: Connection) -> None:
    async with connected(dsn) as busy:
        await next_id(connection)
        await busy.execute("SELECT count(dispatcher.next_id()) FROM generate_series(1, 66000)")
        last = await next_id(busy)
        assert await next_id(connection) & SEQUENCE == (last & SEQUENCE) + 1


async def test_no_id_is_drawn_twice_even_if_the_sequence_wraps(
    connection: Connection,
) -> None:
    await connection.execute("SELECT setval('dispatcher.id_seq', $1)", SEQUENCE - 1000)
    drawn = await connection.fetch(
        "SELECT dispatcher.next_id() AS id FROM generate_series(1, 2000)"
    )
    numbers = [row["id"] for row in drawn]
    assert len(set(numbers)) == 2000
    assert 0 in {number & SEQUENCE for number in numbers}


@given(st.lists(moments, min_size=1, max_size=20))
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_the_floor_of_a_time_is_its_smallest_id(
    connection: Connection, given_moments: list[datetime]
) -> None:
    rows = await connection.fetch(
        """SELECT moment, dispatcher.id_floor(moment) AS low,
                  dispatcher.id_time(dispatcher.id_floor(moment)) AS back,
                  dispatcher.id_time(dispatcher.id_floor(moment) + 4194303) AS last,
                  dispatcher.id_time(dispatcher.id_floor(moment) - 1) AS before
           FROM unnest($1::timestamptz[]) AS moment""",
        given_moments,
    )
    for row in rows:
        assert row["back"] == row["last"] == row["moment"]
        assert row["before"] == row["moment"] - timedelta(milliseconds=1)
        assert ids.created_ms(row["low"]) == round(row["moment"].timestamp() * 1000)


@pytest.mark.parametrize(
    "id_", [0, 1, 4_194_303, 4_194_304, 382_627_666_945_114_114, ids.LARGEST_ID]
)
async def test_program_and_database_compute_the_same_time_of_an_id(
    connection: Connection, id_: int
) -> None:
    there = await connection.fetchval("SELECT dispatcher.id_time($1)", id_)
    here = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=ids.created_ms(id_))
    assert there == here
