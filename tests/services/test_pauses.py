"""Sending is paused and resumed: who is told, and what is remembered."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest

from dispatcher.core.errors import ConflictError, NotFoundError
from dispatcher.core.figures import PauseTotals
from dispatcher.services.audit.audit_log import Actor
from dispatcher.services.pauses import Pause, Pauses
from dispatcher.services.propagation import wait_until_applied
from dispatcher.store.pool import Pool
from dispatcher.store.queries.endpoints import Endpoints
from tests.conftest import Connection, connected
from tests.store import rows

Change = Callable[[str | None], Awaitable[Pause]]


@pytest.fixture
def pause(pool: Pool, actor: Actor) -> Change:
    async def change(environment_id: str | None) -> Pause:
        async with pool.transaction() as session:
            paused, _ = await Pauses(session, actor).pause(environment_id)
            return paused

    return change


@pytest.fixture
def resume(pool: Pool, actor: Actor) -> Change:
    async def change(environment_id: str | None) -> Pause:
        async with pool.transaction() as session:
            return await Pauses(session, actor).resume(environment_id)

    return change


@pytest.fixture
async def endpoints(connection: Connection) -> list[UUID]:
    """One in each of two environments."""
    await rows.environment(connection, "env_other")
    return [
        await rows.endpoint(connection, environment=environment)
        for environment in ("env_default", "env_other")
    ]


async def active(pool: Pool, endpoints: list[UUID]) -> list[bool]:
    """Return for each endpoint whether the sending side may send to it."""
    states = {row["id"]: row["may_send"] for row in await Endpoints(pool).for_sending(endpoints)}
    return [states[endpoint] for endpoint in endpoints]


async def changed(pool: Pool, since: int) -> tuple[int, set[UUID]]:
    changes = await Endpoints(pool).changed_since(since)
    return changes.version, set(changes.ids)


async def test_pausing_holds_one_environment_or_all_and_raises_endpoint_versions(
    pool: Pool, endpoints: list[UUID], pause: Change, resume: Change
) -> None:
    version, _ = await changed(pool, 0)
    version = max(version, 1)  # that of the endpoints as they were made
    paused = await pause("env_other")
    assert paused.environment_id == "env_other"
    assert paused.paused_at is not None
    assert await active(pool, endpoints) == [True, False]

    steps = [
        (pause, None, [False, False]),
        (resume, "env_other", [False, False]),
        (resume, None, [True, True]),
    ]
    for change, environment, expected in steps:
        version, _ = await changed(pool, version)
        await change(environment)
        assert await active(pool, endpoints) == expected
        changed_ids = set(endpoints) if environment is None else {endpoints[1]}
        assert (await changed(pool, version))[1] == changed_ids


async def test_an_endpoint_created_during_a_pause_is_held(
    connection: Connection, pool: Pool, pause: Change
) -> None:
    await pause("env_default")
    assert await active(pool, [await rows.endpoint(connection)]) == [False]


async def test_pausing_or_resuming_twice_changes_nothing_more(
    connection: Connection, pool: Pool, endpoints: list[UUID], pause: Change, resume: Change
) -> None:
    first = await pause(None)
    version, _ = await changed(pool, 0)
    assert await pause(None) == first
    assert (await changed(pool, version))[1] == set()
    await resume(None)
    assert (await resume(None)).paused_at is None
    entries = await connection.fetch(
        "SELECT action, subject, actor FROM dispatcher.audit ORDER BY id"
    )
    assert [tuple(row) for row in entries] == [
        ("sending.pause", "*", "token:test"),
        ("sending.resume", "*", "token:test"),
    ]


async def test_an_unknown_environment_can_be_neither_paused_nor_resumed(
    pool: Pool, actor: Actor, pause: Change, resume: Change
) -> None:
    for change in (pause, resume, Pauses(pool, actor).get):
        with pytest.raises(NotFoundError, match="There is no environment 'env_none'"):
            await change("env_none")


async def test_pauses_of_an_environment_and_of_all_are_read(
    connection: Connection, pool: Pool, actor: Actor, pause: Change, resume: Change
) -> None:
    pauses = Pauses(pool, actor)
    assert await pauses.get(None) == Pause(None, False, None, None)
    assert await pauses.current() == ()
    own = await pause("env_default")
    assert own == Pause("env_default", True, own.paused_at, None)
    assert await pauses.get("env_default") == own
    assert await pauses.get(None) == Pause(None, False, None, None, ("env_default",), 1)
    of_all = await pause(None)
    assert of_all == Pause(None, True, of_all.paused_at, of_all.paused_at, ("env_default",), 1)
    both = Pause("env_default", True, own.paused_at, of_all.paused_at)
    assert await pauses.get("env_default") == both
    assert [(entry.environment_id, entry.by) for entry in await pauses.current()] == [
        (None, "token:test"),
        ("env_default", "token:test"),
    ]
    await connection.execute("UPDATE dispatcher.audit SET actor = 'x', action = 'y'")
    assert [entry.by for entry in await pauses.current()] == [None, None]


async def test_all_pauses_are_counted_and_the_oldest_is_found(
    pool: Pool, connection: Connection, actor: Actor, pause: Change
) -> None:
    pauses = Pauses(pool, actor)
    assert await pauses.totals() == PauseTotals(None, 0, None)
    await rows.environment(connection, "env_other")
    first = (await pause("env_other")).paused_at
    await pause("env_default")
    assert await pauses.totals() == PauseTotals(None, 2, first)
    of_all = (await pause(None)).paused_at
    assert await pauses.totals() == PauseTotals(of_all, 2, first)


async def test_of_more_pauses_than_are_listed_the_preferred_ones_are_listed(
    pool: Pool,
    connection: Connection,
    actor: Actor,
    pause: Change,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dispatcher.services.pauses.NAMED_LIMIT", 1)
    await rows.environment(connection, "env_other")
    await pause("env_other")
    await pause("env_default")
    pauses = Pauses(pool, actor)
    assert [entry.environment_id for entry in await pauses.current()] == ["env_default"]
    preferred = await pauses.current(["env_other", "env_none"])
    assert [entry.environment_id for entry in preferred] == ["env_other"]


@pytest.mark.parametrize("environment", [None, "env_default"])
async def test_the_last_pause_counts_if_there_was_one_a_moment_before(
    connection: Connection, pool: Pool, environment: str | None
) -> None:
    for name in ("cli:first", "cli:second"):
        async with pool.transaction() as session:
            await Pauses(session, Actor(name)).pause(environment)
        if name == "cli:first":
            async with pool.transaction() as session:
                await Pauses(session, Actor(name)).resume(environment)
    assert [entry.by for entry in await Pauses(pool, Actor("test")).current()] == ["cli:second"]


async def test_resuming_an_environment_while_all_are_paused_is_a_conflict(
    pool: Pool, pause: Change, resume: Change
) -> None:
    of_all = await pause(None)
    await pause("env_default")
    left = Pause("env_default", True, None, of_all.paused_at)
    assert await resume("env_default") == left
    with pytest.raises(ConflictError, match="All environments are paused"):
        await resume("env_default")
    await resume(None)
    assert await resume("env_default") == Pause("env_default", False, None, None)


FAILING_SINCE = "SELECT endpoint_id, failing_since FROM dispatcher.endpoint_health ORDER BY 1"


async def test_a_pause_does_not_count_as_time_of_failure(
    connection: Connection, pool: Pool, endpoints: list[UUID], pause: Change, resume: Change
) -> None:
    await connection.executemany(
        "INSERT INTO dispatcher.endpoint_health (endpoint_id, failing_since, failed_at, failures)"
        " VALUES ($1, now() - interval '6 d', now() - interval '5 d', 20)",
        [(endpoint,) for endpoint in endpoints],
    )
    began = await connection.fetch(FAILING_SINCE)
    await pause("env_default")
    await resume("env_default")
    assert await connection.fetch(FAILING_SINCE) == began
    counts = dict.fromkeys(endpoints, 1)
    hopeless = await Endpoints(pool).note_failures(counts, 5 * 86_400.0)
    assert hopeless == {endpoints[1]}


# ── confirmed ───────────────────────────────────────────────────────────────────────────────────


async def daemon(connection: Connection, number: int, version: int, silent: float = 0.0) -> None:
    await connection.execute(
        "INSERT INTO dispatcher.daemons (id, renewed_at, confirmed_version)"
        " VALUES ($1::bigint, now() - make_interval(secs => $3), $2)",
        number,
        version,
        silent,
    )


async def test_a_version_is_confirmed_when_every_live_daemon_has_applied_it(
    connection: Connection, pool: Pool
) -> None:
    assert await wait_until_applied(pool, 5)
    await daemon(connection, 1, 5)
    await daemon(connection, 2, 4, silent=2.0)  # it starts no send any more
    assert await wait_until_applied(pool, 5)
    await daemon(connection, 3, 4)
    assert not await wait_until_applied(pool, 5, 0.1)
    assert await wait_until_applied(pool, 4)


async def test_waiting_for_a_version_ends_when_it_is_confirmed(
    connection: Connection, pool: Pool
) -> None:
    await daemon(connection, 1, 4)
    await connection.execute("UPDATE dispatcher.daemons SET renewed_at = now() - interval '1 s'")
    assert await wait_until_applied(pool, 5)  # 0.2 s later it does not live any more


@pytest.mark.parametrize("is_resumed", [False, True])
async def test_endpoints_are_locked_in_the_order_of_their_ids(
    connection: Connection, dsn: str, pause: Change, resume: Change, *, is_resumed: bool
) -> None:
    """As by those who send deliveries again: otherwise the two could wait for each other."""
    made = [await rows.endpoint(connection)]
    while made[-1] >= made[0]:  # the last one in the table comes first
        made.append(await rows.endpoint(connection))
    if is_resumed:
        await pause("env_default")
    hold = "SELECT FROM dispatcher.endpoints WHERE id = $1 FOR SHARE"
    async with connected(dsn) as other:
        async with other.transaction():
            await other.execute(hold, min(made))
            change = asyncio.ensure_future((resume if is_resumed else pause)("env_default"))
            await rows.any_waits_for_lock(connection)
            for endpoint in sorted(made):
                await other.execute(hold, endpoint)
        assert (await change).paused is not is_resumed
