"""Endpoints: made, listed, deleted, disabled, rested; each change has a version daemons can follow."""

import asyncio
from typing import Any
from unittest.mock import ANY
from uuid import UUID, uuid4

import asyncpg
import pytest

from dispatcher.store.queries.endpoint_search import EndpointFind, EndpointSearch
from dispatcher.store.queries.endpoints import Endpoints
from dispatcher.store.session import Session
from tests.conftest import Connection, connected
from tests.store import rows

DAY = 86_400.0


@pytest.fixture
def endpoints(session: Session) -> Endpoints:
    return Endpoints(session)


COLUMNS = {
    "name": "a name",
    "description": "",
    "url": "https://example.com/",
    "active": True,
    "ordered": False,
    "secret": b"sealed",
    "headers": None,
    "signature_schemes": None,
    "max_in_flight": None,
    "rate_limit": None,
    "timeout_ms": None,
    "retry": None,
    "metadata": "{}",
}


async def create(
    endpoints: Endpoints, *events: str, environment: str = "env_default", **columns: Any
) -> UUID:
    endpoint_id = uuid4()
    version = await endpoints.next_version()
    assert await endpoints.create(endpoint_id, environment, version, {**COLUMNS, **columns})
    await endpoints.subscribe(endpoint_id, events)
    return endpoint_id


async def delete(endpoints: Endpoints, endpoint_id: UUID) -> None:
    await endpoints.delete(endpoint_id, await endpoints.next_version())


async def test_a_delivery_that_waits_to_be_sent_again_ends_with_its_endpoint(
    connection: Connection, endpoints: Endpoints
) -> None:
    endpoint, other = await create(endpoints, "a"), await create(endpoints, "a")
    event = await rows.event(connection, "a")
    for endpoint_id, delivery_id in ((endpoint, 11), (other, 12), (endpoint, None)):
        await rows.directed(connection, event, endpoint_id, delivery_id=delivery_id, attempt=3)
    await delete(endpoints, endpoint)
    [attempt] = await rows.attempts(connection)
    assert (attempt["delivery_id"], attempt["attempt"], attempt["state"]) == (11, 3, "CANCELLED")
    assert (attempt["error"], attempt["outcome"]) == ("the endpoint was deleted", "cancelled")
    left = await connection.fetch("SELECT delivery_id FROM dispatcher.inbox ORDER BY id")
    assert [row["delivery_id"] for row in left] == [None, 12, None]


async def patterns(connection: Connection, endpoint_id: UUID) -> list[str]:
    records = await connection.fetch(
        "SELECT pattern FROM dispatcher.subscriptions WHERE endpoint_id = $1 ORDER BY 1",
        endpoint_id,
    )
    return [row["pattern"] for row in records]


# ── by people ───────────────────────────────────────────────────────────────────────────────────


async def test_a_new_endpoint_has_the_given_columns_and_subscriptions(
    connection: Connection, endpoints: Endpoints
) -> None:
    asked: dict[str, Any] = {
        "description": "what for",
        "active": False,
        "headers": b"sealed too",
        "signature_schemes": ["standard"],
        "max_in_flight": 3,
        "rate_limit": 7,
        "timeout_ms": 1500,
        "retry": '{"retries": 2}',
        "metadata": '{"team": "a"}',
    }
    endpoint_id = await create(endpoints, "user.*", "a", **asked)
    row = await endpoints.get(endpoint_id, "env_default")
    assert row is not None
    assert {**row, **asked} == row
    assert (row["name"], row["url"]) == (COLUMNS["name"], COLUMNS["url"])
    assert row["created_at"] == row["updated_at"]
    assert row["events"] == ["user.*", "a"]
    assert await patterns(connection, endpoint_id) == ["a", "user.*"]


async def test_an_update_replaces_the_columns_and_the_subscriptions(
    connection: Connection, endpoints: Endpoints
) -> None:
    endpoint_id = await create(endpoints, "a", "b")
    changed = {**COLUMNS, "name": "other", "url": "https://b.example/", "max_in_flight": 9}
    await endpoints.update(endpoint_id, await endpoints.next_version(), changed)
    await endpoints.subscribe(endpoint_id, ["b", "c"])
    row = await endpoints.get(endpoint_id, None)
    assert row is not None
    assert (row["name"], row["url"], row["max_in_flight"]) == ("other", "https://b.example/", 9)
    assert await patterns(connection, endpoint_id) == ["b", "c"]


async def test_a_rotated_secret_leaves_the_old_one_for_the_overlap_and_no_longer(
    connection: Connection, endpoints: Endpoints
) -> None:
    endpoint_id = await create(endpoints, "a")
    await endpoints.rotate(endpoint_id, await endpoints.next_version(), b"second", 60)
    (row,) = await endpoints.for_sending([endpoint_id])
    assert (row["secret"], row["previous_secret"]) == (b"second", b"sealed")
    now = await connection.fetchval("SELECT extract(epoch FROM now())::float8")
    assert 50 < row["previous_until"] - now <= 60
    await endpoints.rotate(endpoint_id, await endpoints.next_version(), b"third", 0)
    (row,) = await endpoints.for_sending([endpoint_id])
    assert (row["secret"], row["previous_secret"], row["previous_until"]) == (b"third", None, None)


async def test_enabling_an_endpoint_forgets_its_failures(
    connection: Connection, endpoints: Endpoints
) -> None:
    endpoint_id = await create(endpoints, "a")
    await endpoints.note_failures({endpoint_id: 3}, DAY)
    await endpoints.update(endpoint_id, await endpoints.next_version(), COLUMNS)
    assert await connection.fetchval("SELECT failures FROM dispatcher.endpoint_health") == 3
    await endpoints.disable(endpoint_id, "failing")
    await endpoints.update(endpoint_id, await endpoints.next_version(), COLUMNS)
    row = await endpoints.get(endpoint_id, None)
    assert row is not None
    assert (row["active"], row["disabled_reason"], row["failing_since"]) == (True, None, None)
    assert await connection.fetchval("SELECT failures FROM dispatcher.endpoint_health") == 0


async def test_the_engine_reads_a_new_endpoint_with_its_secrets_and_limits(
    endpoints: Endpoints,
) -> None:
    endpoint_id = await create(endpoints, "a")
    (row,) = await endpoints.for_sending([endpoint_id, uuid4()])
    assert 0 <= row["home_shard"] < 64
    assert row == {
        "home_shard": row["home_shard"],
        "id": endpoint_id,
        "environment_id": "env_default",
        "url": "https://example.com/",
        "may_send": True,
        "deleted": False,
        "ordered": False,
        "secret": b"sealed",
        "previous_secret": None,
        "previous_until": None,
        "headers": None,
        "signature_schemes": None,
        "max_in_flight": None,
        "timeout_ms": None,
        "retry": None,
        "resting_until": None,
        "is_failing": False,
        "rate_limit": None,
        "authentication_sealed": None,
        "tls_sealed": None,
    }


async def test_home_shards_of_ordered_endpoints_are_spread_over_all(
    connection: Connection,
) -> None:
    await connection.execute(
        """INSERT INTO dispatcher.endpoints (environment_id, name, url, secret, version)
           SELECT 'env_default', 'n', 'u', '', 1 FROM generate_series(1, 2000)"""
    )
    homes = await connection.fetch(
        "SELECT DISTINCT home_shard FROM dispatcher.endpoints ORDER BY 1"
    )
    assert [row["home_shard"] for row in homes] == list(range(64))


async def test_an_endpoint_cannot_be_created_in_an_unknown_environment(
    connection: Connection, endpoints: Endpoints
) -> None:
    assert not await endpoints.create(uuid4(), "env_x", await endpoints.next_version(), COLUMNS)
    assert await connection.fetchval("SELECT count(*) FROM dispatcher.endpoints") == 0


async def test_the_list_is_of_one_environment_or_of_all_oldest_first(
    connection: Connection, endpoints: Endpoints
) -> None:
    await rows.environment(connection, "env_b")
    made = [
        await create(endpoints, "b", "a", environment=environment, name=name)
        for environment, name in (("env_default", "1"), ("env_b", "2"), ("env_default", "3"))
    ]
    await delete(endpoints, await create(endpoints, "a"))
    listed = await endpoints.list("env_default")
    assert [row["id"] for row in listed] == [made[0], made[2]]
    assert listed[0]["events"] == ["b", "a"]
    assert [row["name"] for row in await endpoints.list(None)] == ["1", "2", "3"]
    assert await endpoints.list("env_x") == []
    assert [row["name"] for row in await endpoints.list(None, limit=2)] == ["1", "2"]
    assert [row["name"] for row in await endpoints.list(None, after=made[1])] == ["3"]


async def test_a_deleted_endpoint_is_not_listed_but_keeps_its_row(
    connection: Connection, endpoints: Endpoints
) -> None:
    endpoint_id = await create(endpoints, "a", "b")
    await delete(endpoints, endpoint_id)
    assert await endpoints.list(None) == []
    assert await endpoints.get(endpoint_id, None) is None
    assert await patterns(connection, endpoint_id) == []
    (row,) = await endpoints.for_sending([endpoint_id])
    assert (row["deleted"], row["may_send"]) == (True, False)


async def test_an_endpoint_is_found_only_in_its_own_environment(
    connection: Connection, endpoints: Endpoints
) -> None:
    await rows.environment(connection, "env_b")
    endpoint_id = await create(endpoints, "a")
    assert await endpoints.get(endpoint_id, "env_b") is None
    assert await endpoints.get(endpoint_id, None) is not None


# ── versions ────────────────────────────────────────────────────────────────────────────────────


async def test_reading_by_version_returns_every_change_once(endpoints: Endpoints) -> None:
    start = (await endpoints.changed_since(0)).version
    one, two = [await create(endpoints, "a") for _ in range(2)]
    version, changed, _ = await endpoints.changed_since(start)
    assert set(changed) == {one, two}
    assert await endpoints.changed_since(version) == (version, [], False)
    for change in (
        endpoints.rest(one, 5),
        endpoints.disable(one, "failing"),
        delete(endpoints, one),
    ):
        await change
        newer, changed, _ = await endpoints.changed_since(version)
        assert newer > version
        assert changed == [one]
        version = newer


async def test_notes_of_health_do_not_change_the_version(endpoints: Endpoints) -> None:
    endpoint_id = await create(endpoints, "a")
    before = await endpoints.changed_since(0)
    await endpoints.note_failures({endpoint_id: 1}, DAY)
    await endpoints.note_successes([endpoint_id])
    assert await endpoints.changed_since(0) == before


async def test_versions_become_visible_in_their_order(
    connection: Connection, session: Session, other: Session, dsn: str
) -> None:
    """Else a daemon that saw version 8 would never look for a 7 committed later."""
    endpoint_id = await rows.endpoint(connection)
    (pid,) = (await other.fetch("SELECT pg_backend_pid()"))[0]
    seen = (await Endpoints(session).changed_since(0)).version
    async with connected(dsn) as watcher, connection.transaction():
        await connection.execute("UPDATE dispatcher.endpoint_version SET version = version + 1")
        later = asyncio.create_task(Endpoints(other).disable(endpoint_id, "r"))
        await rows.waits_for_lock(watcher, pid)
        assert (await Endpoints(session).changed_since(0)).version == seen
    assert await later is not None
    assert await Endpoints(session).changed_since(seen + 1) == (seen + 2, [endpoint_id], False)


async def test_changes_say_if_there_is_more_than_one_environment(
    endpoints: Endpoints, connection: Connection
) -> None:
    assert not (await endpoints.changed_since(0)).has_several_environments
    await connection.execute("INSERT INTO dispatcher.environments (id, name) VALUES ('other', 'o')")
    assert (await endpoints.changed_since(0)).has_several_environments


# ── by the daemon ───────────────────────────────────────────────────────────────────────────────


async def test_only_the_first_call_disables_an_endpoint(
    connection: Connection, endpoints: Endpoints, other: Session
) -> None:
    endpoint_id = await create(endpoints, "a")
    answers = await asyncio.gather(
        endpoints.disable(endpoint_id, "gone"), Endpoints(other).disable(endpoint_id, "failing")
    )
    disabled = [answer for answer in answers if answer]
    assert disabled == [{"environment_id": "env_default", "url": "https://example.com/"}]
    (row,) = await endpoints.list(None)
    assert row["active"] is False
    assert row["disabled_reason"] == ("gone" if answers[0] else "failing")
    assert await patterns(connection, endpoint_id) == ["a"]


async def test_disabling_emits_one_event_if_a_webhook_subscribes_by_name(
    connection: Connection, endpoints: Endpoints
) -> None:
    endpoint_id = await create(endpoints, "a")
    await endpoints.disable(endpoint_id, "gone")
    assert await rows.inbox(connection) == []
    endpoint_id = await create(endpoints, "endpoint.disabled")
    await endpoints.disable(endpoint_id, "gone")
    await endpoints.disable(endpoint_id, "gone")
    (event,) = await connection.fetch("SELECT type, data, source FROM dispatcher.events")
    assert tuple(event) == (
        "endpoint.disabled",
        f'{{"webhook_id":"{endpoint_id}","url":"https://example.com/","reason":"gone"}}',
        "dispatcher",
    )


async def test_daemons_that_note_the_same_failures_do_not_deadlock(
    endpoints: Endpoints, other: Session
) -> None:
    ids = [await create(endpoints, "a") for _ in range(100)]
    ways = (endpoints, ids), (Endpoints(other), ids[::-1])

    async def note(mine: Endpoints, order: list[UUID]) -> None:
        for _ in range(30):
            await mine.note_failures(dict.fromkeys(order, 1), DAY)
            await mine.note_successes(order)

    await asyncio.gather(*(note(mine, order) for mine, order in ways))


async def test_an_endpoint_with_another_url_by_now_is_not_disabled(
    connection: Connection, endpoints: Endpoints
) -> None:
    endpoint_id = await create(endpoints, "a")
    url = await connection.fetchval("SELECT url FROM dispatcher.endpoints")
    assert await endpoints.disable(endpoint_id, "gone", f"{url}old") is None
    assert await connection.fetchval("SELECT active FROM dispatcher.endpoints")
    assert await endpoints.disable(endpoint_id, "gone", url) is not None
    assert not await connection.fetchval("SELECT active FROM dispatcher.endpoints")


async def test_a_deleted_endpoint_cannot_be_disabled(endpoints: Endpoints) -> None:
    endpoint_id = await create(endpoints, "a")
    await delete(endpoints, endpoint_id)
    assert await endpoints.disable(endpoint_id, "gone") is None


async def test_a_rest_ends_by_the_databases_clock(
    connection: Connection, endpoints: Endpoints
) -> None:
    endpoint_id = await create(endpoints, "a")
    before = await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())::float8")
    await endpoints.rest(endpoint_id, 60.5)
    (row,) = await endpoints.for_sending([endpoint_id])
    assert before + 60.5 <= row["resting_until"] < before + 65


async def test_an_endpoint_is_failing_from_its_first_failure_to_its_next_success(
    endpoints: Endpoints,
) -> None:
    endpoint_id = await create(endpoints, "a")
    seen = []
    for note in (
        endpoints.note_failures({endpoint_id: 1}, DAY),
        endpoints.note_successes([endpoint_id]),
    ):
        await note
        seen.append((await endpoints.for_sending([endpoint_id]))[0]["is_failing"])
    assert seen == [True, False]


async def test_a_shorter_rest_does_not_replace_a_longer_one(endpoints: Endpoints) -> None:
    endpoint_id = await create(endpoints, "a")
    await endpoints.rest(endpoint_id, 600)
    (long,) = await endpoints.for_sending([endpoint_id])
    await endpoints.rest(endpoint_id, 5)
    assert await endpoints.for_sending([endpoint_id]) == [long]


async def test_a_rest_of_an_unknown_endpoint_is_not_an_error(endpoints: Endpoints) -> None:
    await endpoints.rest(uuid4(), 5)
    assert await endpoints.note_failures({uuid4(): 3}, DAY) == set()
    await endpoints.note_successes([uuid4()])


async def test_failures_add_up_until_a_success_forgets_them(
    connection: Connection, endpoints: Endpoints
) -> None:
    one, two = [await create(endpoints, "a") for _ in range(2)]
    failing = "SELECT count(failing_since) FROM dispatcher.endpoint_health"
    health = "SELECT failures, failing_since, failed_at FROM dispatcher.endpoint_health WHERE endpoint_id = $1"
    assert await endpoints.note_failures({one: 3, two: 1}, DAY) == set()
    first = await connection.fetchrow(health, one)
    assert await endpoints.note_failures({one: 2}, DAY) == set()
    second = await connection.fetchrow(health, one)
    assert first is not None
    assert second is not None
    assert (first["failures"], second["failures"]) == (3, 5)
    assert first["failing_since"] == second["failing_since"]
    assert first["failed_at"] < second["failed_at"]
    assert await connection.fetchval(failing) == 2

    await endpoints.note_successes([one])
    cleared = await connection.fetchrow(health, one)
    assert cleared is not None
    assert tuple(cleared) == (0, None, None)
    assert await connection.fetchval(failing) == 1


@pytest.mark.parametrize(
    ("began", "earlier", "hopeless"),
    [
        ("6 days", 4, True),
        ("6 days", 3, False),  # five failures at least
        ("5 days 1 second", 9, True),
        ("4 days 23 hours", 9, False),
    ],
)
async def test_an_endpoint_with_only_failures_for_long_enough_is_returned_for_disabling(
    connection: Connection, endpoints: Endpoints, began: str, earlier: int, hopeless: bool
) -> None:
    endpoint_id = await create(endpoints, "a")
    await endpoints.note_failures({endpoint_id: earlier}, 5 * DAY)
    await connection.execute(
        f"UPDATE dispatcher.endpoint_health SET failing_since = now() - interval '{began}'"  # noqa: S608
    )
    endpoint_ids = await endpoints.note_failures({endpoint_id: 1}, 5 * DAY)
    assert endpoint_ids == ({endpoint_id} if hopeless else set())


async def test_many_failures_within_a_day_do_not_disable_an_endpoint(
    connection: Connection, endpoints: Endpoints
) -> None:
    endpoint_id = await create(endpoints, "a")
    await endpoints.note_failures({endpoint_id: 99}, 0.0)
    await connection.execute(
        "UPDATE dispatcher.endpoint_health SET failing_since = date_trunc('day', now(), 'UTC')"
    )
    assert await endpoints.note_failures({endpoint_id: 1}, 0.0) == set()
    await connection.execute(
        """UPDATE dispatcher.endpoint_health
           SET failing_since = date_trunc('day', now(), 'UTC') - interval '1 ms'"""
    )
    assert await endpoints.note_failures({endpoint_id: 1}, 0.0) == {endpoint_id}


async def test_impossible_limits_are_refused(connection: Connection) -> None:
    endpoint_id = await rows.endpoint(connection)
    for change in (
        "max_in_flight = 0",
        "rate_limit = 0",
        "timeout_ms = 30001",
        "url = repeat('x', 2049)",
    ):
        with pytest.raises(asyncpg.CheckViolationError):
            await connection.execute(
                f"UPDATE dispatcher.endpoints SET {change} WHERE id = $1",  # noqa: S608
                endpoint_id,
            )


@pytest.mark.parametrize("name", ["İstanbul", "ΟΔΟΣ", "Straße", "100% \\ a_b"])
async def test_an_endpoint_is_found_by_its_name_as_it_is_written(
    connection: Connection, session: Session, endpoints: Endpoints, name: str
) -> None:
    endpoint = await create(endpoints, "a", name=name)
    await create(endpoints, "a", name="Hooli")
    query = EndpointFind(name, None, None, 10, 10)
    assert (await EndpointSearch(session).find("env_default", query))["ids"] == [endpoint]
    matches = await endpoints.search("env_default", name, look=10, limit=10)
    assert [row["id"] for row in matches] == [endpoint]


async def test_endpoints_are_found_by_text_and_state_a_part_at_a_time(
    connection: Connection, session: Session, endpoints: Endpoints
) -> None:
    first = await create(endpoints, "a", name="Initech")
    await create(endpoints, "a", name="Hooli")
    third = await create(endpoints, "a", url="https://INITECH.example/", active=False)
    await connection.execute("INSERT INTO dispatcher.environments (id, name) VALUES ('env_x', 'x')")
    await create(endpoints, "a", name="Initech", environment="env_x")

    async def find(text: str, state: str | None, after: UUID | None, look: int) -> Any:
        part = await EndpointSearch(session).find(
            "env_default", EndpointFind(text, state, after, look, 10)
        )
        return part["ids"], part["looked_to"]

    assert await find("initech", None, None, 10) == ([first, third], None)
    assert await find("initech", "disabled", None, 10) == ([third], None)
    assert await find("", "active", first, 10) == ([ANY], None)
    ids, looked_to = await find("initech", None, None, 2)
    assert ids == [first]
    assert await find("initech", None, looked_to, 2) == ([third], None)
