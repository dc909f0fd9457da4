"""`dispatcher check` names what would keep events from arriving, or from being read."""

import json

import pytest

from dispatcher.cli.checks import event_checks
from dispatcher.cli.checks.event_checks import locks_needed
from dispatcher.core import remedies
from dispatcher.store.queries.server import OldSnapshot, Server
from tests.conftest import Connection, connected
from tests.end_to_end.shell import Shell

DAY = 86_400.0


async def said(dispatcher: Shell, kind: str) -> str:
    """Return the `notes`, the `warnings` or the `problems` of `check`."""
    done = await dispatcher("check", "--json")
    return "\n".join(json.loads(done.out)[kind])


async def test_check_warns_that_prepared_transactions_need_a_setting(
    dispatcher: Shell, connection: Connection
) -> None:
    if await connection.fetchval("SHOW max_prepared_transactions") == "0":
        pytest.skip("the given server has max_prepared_transactions = 0")
    assert "database.notify = false" in await said(dispatcher, "notes")


async def test_check_warns_that_a_trigger_is_disabled(
    dispatcher: Shell, connection: Connection
) -> None:
    assert "triggers: they fire" in await said(dispatcher, "notes")
    await connection.execute("ALTER TABLE dispatcher.events DISABLE TRIGGER events_inserted")
    problem = await said(dispatcher, "problems")
    assert "do not fire: events_inserted" in problem
    enable = "ALTER TABLE dispatcher.events ENABLE TRIGGER events_inserted;"
    assert (enable in problem, "dispatcher replay --since" in problem) == (True, True)
    assert (await dispatcher("check")).code == 1
    await connection.execute(enable)
    assert (await dispatcher("check")).code == 0


@pytest.mark.parametrize(
    ("name", "statement"),
    [
        ("event_checked", "ALTER TABLE dispatcher.events ENABLE ALWAYS TRIGGER event_checked;"),
        (
            "event_checked on events_default",
            "ALTER TABLE dispatcher.events_default ENABLE ALWAYS TRIGGER event_checked;",
        ),
    ],
)
def test_the_remedy_of_a_disabled_trigger_names_its_table(name: str, statement: str) -> None:
    assert statement in remedies.of_disabled_triggers([name])


async def test_check_warns_that_a_snapshot_has_been_held_for_long(
    dispatcher: Shell, connection: Connection, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connected(dsn) as old:
        await old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
        pid = await old.fetchval("SELECT pg_backend_pid()")
        server = Server(connection)
        assert await server.old_snapshots(600.0) == []
        [snapshot] = await server.old_snapshots(0.0)
        assert snapshot.pid == pid
        assert snapshot.role == await connection.fetchval("SELECT current_user")
        assert snapshot.age is not None

        async def long_ago(self: Server, seconds: float) -> list[OldSnapshot]:
            return [OldSnapshot(pid, "app", 1200.0), OldSnapshot(5, "x", None)]

        monkeypatch.setattr(Server, "old_snapshots", long_ago)
        warning = await event_checks.old_snapshots(None, None)  # type: ignore[arg-type]
    assert f"process {pid} of role app, for 20 minutes; process 5 of role x." in str(warning)


@pytest.mark.parametrize(
    ("events", "attempts", "needed"), [(30, 14, 39 * 3 + 23 * 6), (1310, 1300, 1319 * 3 + 1309 * 6)]
)
def test_the_locks_of_all_days_are_counted(events: int, attempts: int, needed: int) -> None:
    assert locks_needed(events * DAY, attempts * DAY) == needed


@pytest.mark.parametrize(
    ("table", "relations"),
    [
        ("events", event_checks.RELATIONS_PER_DAY_OF_EVENTS),
        ("attempts", event_checks.RELATIONS_PER_DAY_OF_ATTEMPTS),
    ],
)
async def test_the_relations_of_a_day_are_those_of_the_schema(
    connection: Connection, table: str, relations: int
) -> None:
    indexes = await connection.fetchval(
        "SELECT count(*) FROM pg_index WHERE indrelid = $1::text::regclass", f"dispatcher.{table}"
    )
    assert relations == 1 + indexes
