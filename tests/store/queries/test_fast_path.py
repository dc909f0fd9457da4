"""The fast path of an INSERT: events take it only while no table has to be asked about them."""

from io import BytesIO

import asyncpg
import pytest

from dispatcher.store.queries.settings import Settings
from dispatcher.store.session import Session
from tests.conftest import Connection, connected
from tests.store import rows

INSERT = "INSERT INTO dispatcher.events (type, data) VALUES ('a.b', '{\"id\": 1}')"
ENFORCE = (
    "INSERT INTO dispatcher.event_types (environment_id, name, schema, enforce)"
    " VALUES ('env_default', 'a.b', '{}', true)"
)
LIMIT = "SELECT last_value FROM dispatcher.fast_path_limit"


@pytest.fixture
def settings(session: Session) -> Settings:
    return Settings(session)


async def unvalidated(connection: Connection) -> int:
    count: int = await connection.fetchval("SELECT count(*) FROM dispatcher.unvalidated_events")
    return count


async def test_the_fast_path_is_open_in_a_new_database(connection: Connection) -> None:
    assert await connection.fetchval(LIMIT) == 262_144


async def test_an_enforced_schema_closes_the_fast_path_before_its_commit(
    connection: Connection, dsn: str
) -> None:
    async with connected(dsn) as other:
        transaction = other.transaction()
        await transaction.start()
        await other.execute(ENFORCE)
        assert await connection.fetchval(LIMIT) == 0
        await connection.execute(INSERT)
        await transaction.commit()
    await connection.execute(INSERT)
    assert len(await rows.inbox(connection)) == 1
    assert await unvalidated(connection) == 1


async def test_a_schema_that_is_enforced_by_replication_closes_the_fast_path(
    connection: Connection,
) -> None:
    await connection.execute("SET session_replication_role = replica")
    await connection.execute(ENFORCE)
    assert await connection.fetchval(LIMIT) == 0


async def test_a_schema_that_is_not_enforced_leaves_the_fast_path_open(
    connection: Connection,
) -> None:
    await connection.execute(ENFORCE.replace("true", "false"))
    assert await connection.fetchval(LIMIT) == 262_144


async def test_a_lower_limit_holds_at_once(connection: Connection, settings: Settings) -> None:
    await settings.write_limits(5)
    assert await connection.fetchval(LIMIT) == 0
    for _ in range(2):
        with pytest.raises(asyncpg.CheckViolationError, match="data is 9 bytes, the limit is 5"):
            await connection.execute(INSERT)
        await settings.refresh_fast_path()
        assert await connection.fetchval(LIMIT) == 5


async def test_a_higher_limit_that_is_rolled_back_allows_nothing(
    connection: Connection, settings: Settings
) -> None:
    await settings.write_limits(5)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("UPDATE dispatcher.settings SET max_data = 100")
    await connection.execute(INSERT)
    await transaction.rollback()
    with pytest.raises(asyncpg.CheckViolationError, match="the limit is 5"):
        await connection.execute(INSERT)


async def test_the_fast_path_opens_when_no_schema_is_enforced_any_more(
    connection: Connection, settings: Settings
) -> None:
    await connection.execute(ENFORCE)
    await settings.refresh_fast_path()
    assert await connection.fetchval(LIMIT) == 0
    await connection.execute("UPDATE dispatcher.event_types SET enforce = false")
    await settings.refresh_fast_path()
    assert await connection.fetchval(LIMIT) == 262_144
    await connection.execute(INSERT)
    assert len(await rows.inbox(connection)) == 1


@pytest.mark.parametrize("change", [ENFORCE, "UPDATE dispatcher.settings SET max_data = 5"])
async def test_the_fast_path_stays_closed_while_a_change_is_under_way(
    connection: Connection, settings: Settings, dsn: str, change: str
) -> None:
    async with connected(dsn) as other:
        transaction = other.transaction()
        await transaction.start()
        await other.execute(change)
        await settings.refresh_fast_path()
        assert await connection.fetchval(LIMIT) == 0
        await transaction.rollback()
    await settings.refresh_fast_path()
    assert await connection.fetchval(LIMIT) == 262_144


async def test_one_statement_has_events_for_the_check_and_others(connection: Connection) -> None:
    await connection.execute(ENFORCE)
    await connection.execute(
        "INSERT INTO dispatcher.events (type, data) VALUES ('a.b', '1'), ('a.c', '1'), ('a.b', '2')"
    )
    assert len(await rows.inbox(connection)) == 1
    assert await unvalidated(connection) == 2


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("no type\t1", "type must be words"),
        ("webhook.test\t1", "type is reserved"),
        ("endpoint.disabled\t1", "type is reserved"),
        (f"a\t{'7' * 262_145}", "data is 262145 bytes, the limit is 262144"),
    ],
)
async def test_the_error_of_a_copy_names_the_line(
    connection: Connection, line: str, complaint: str
) -> None:
    lines = BytesIO(f"a\t1\n{line}\nb\t1\n".encode())
    with pytest.raises(asyncpg.CheckViolationError, match=complaint) as refused:
        await connection.copy_to_table(
            "events",
            schema_name="dispatcher",
            columns=["type", "data"],
            source=lines,
        )
    assert "COPY events, line 2" in str(refused.value.context)


@pytest.mark.parametrize("type_", ["webhook.tested", "endpoints.a", "delivery"])
async def test_types_that_begin_like_reserved_ones_are_taken(
    connection: Connection, type_: str
) -> None:
    await connection.execute("INSERT INTO dispatcher.events (type, data) VALUES ($1, '1')", type_)
    assert len(await rows.inbox(connection)) == 1


async def test_data_that_is_stored_compressed_counts_with_its_size(connection: Connection) -> None:
    """Copied from another table, it is compressed when the trigger sees it."""
    await connection.execute("CREATE TEMP TABLE source (data json)")
    await connection.execute("INSERT INTO source VALUES (repeat('7', 262145)::json)")
    assert await connection.fetchval("SELECT pg_column_size(data) < 32768 FROM source")
    with pytest.raises(asyncpg.CheckViolationError, match="data is 262145 bytes, the limit is"):
        await connection.execute(
            "INSERT INTO dispatcher.events (type, data) SELECT 'a', data FROM source"
        )


@pytest.mark.parametrize("size", [32_767, 32_768, 32_769, 262_144])
async def test_data_up_to_the_limit_is_taken(connection: Connection, size: int) -> None:
    await connection.execute(
        "INSERT INTO dispatcher.events (type, data) VALUES ('a', $1)", "7" * size
    )
    assert len(await rows.inbox(connection)) == 1


@pytest.mark.parametrize("reference", ["", "x" * 256])
async def test_a_reference_out_of_bounds_is_refused(connection: Connection, reference: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="reference must be 1 to 255 bytes"):
        await connection.execute(
            "INSERT INTO dispatcher.events (type, data, reference) VALUES ('a', '1', $1)", reference
        )


async def test_a_replicated_event_is_checked_too(connection: Connection) -> None:
    await connection.execute("SET session_replication_role = replica")
    with pytest.raises(asyncpg.CheckViolationError, match="type must be words"):
        await connection.execute(
            "INSERT INTO dispatcher.events (type, data) VALUES ('\"quoted\"', '1')"
        )


async def test_a_replicated_event_claims_no_key(connection: Connection) -> None:
    await connection.execute("SET session_replication_role = replica")
    await connection.execute(
        "INSERT INTO dispatcher.events (type, data, idempotency_key) VALUES ('a', '1', 'k')"
    )
    assert await connection.fetchval("SELECT count(*) FROM dispatcher.idempotency_keys") == 0
