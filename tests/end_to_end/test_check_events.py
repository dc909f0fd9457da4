"""`dispatcher check` names what would keep events from arriving, or from being read."""

import json

import pytest

from dispatcher.cli.event_checks import locks_needed
from tests.conftest import Connection
from tests.end_to_end.shell import Shell

DAY = 86_400.0


async def said(dispatcher: Shell, kind: str) -> str:
    """Return the `notes` or the `warnings` of `check`."""
    done = await dispatcher("check", "--json")
    return "\n".join(json.loads(done.out)[kind])


async def test_that_prepared_transactions_need_a_setting(
    dispatcher: Shell, connection: Connection
) -> None:
    if await connection.fetchval("SHOW max_prepared_transactions") == "0":
        pytest.skip("the given server has max_prepared_transactions = 0")
    assert "database.notify = false" in await said(dispatcher, "notes")


async def test_that_a_trigger_is_disabled(dispatcher: Shell, connection: Connection) -> None:
    assert "do not fire" not in await said(dispatcher, "warnings")
    await connection.execute("ALTER TABLE dispatcher.events DISABLE TRIGGER events_inserted")
    assert "do not fire: events_inserted" in await said(dispatcher, "warnings")


@pytest.mark.parametrize(
    ("events", "attempts", "needed"), [(30, 14, 39 * 2 + 23 * 5), (1310, 1300, 1319 * 2 + 1309 * 5)]
)
def test_the_locks_of_all_days_are_counted(events: int, attempts: int, needed: int) -> None:
    assert locks_needed(events * DAY, attempts * DAY) == needed
