"""The patterns that match a type: the database and the program hold the same rule."""

import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dispatcher.core import event_patterns
from tests.conftest import Connection
from tests.patterns import candidates

words = st.one_of(
    st.sampled_from(
        ["a", "user", "webhook", "test", "endpoint", "delivery", "endpoints", "_", "0"]
    ),
    st.text(string.ascii_letters + string.digits + "_", min_size=1, max_size=8),
)
types = st.lists(words, min_size=1, max_size=8).map(".".join)


@given(st.lists(types, min_size=1, max_size=50, unique=True))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_database_and_program_compute_the_same_patterns(
    connection: Connection, many: list[str]
) -> None:
    rows = await connection.fetch(
        """SELECT type, dispatcher.patterns_of(type) AS patterns, dispatcher.is_reserved(type) AS reserved
           FROM unnest($1::text[]) AS type""",
        many,
    )
    assert len(rows) == len(many)
    for row in rows:
        assert sorted(row["patterns"]) == sorted(candidates(row["type"]))
        assert row["reserved"] is event_patterns.is_reserved(row["type"])


@pytest.mark.parametrize("pattern", ["a_b.*", "a%.*", "a.*", "A.*"])
async def test_an_underscore_is_not_a_wildcard(connection: Connection, pattern: str) -> None:
    assert pattern not in await connection.fetchval("SELECT dispatcher.patterns_of('axb.c')")


async def test_null_has_no_patterns(connection: Connection) -> None:
    """The function is STRICT. Otherwise its loop would end only when the server's memory is full."""
    assert await connection.fetchval("SELECT dispatcher.patterns_of(NULL)") is None
