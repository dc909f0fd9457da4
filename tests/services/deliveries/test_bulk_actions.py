"""All deliveries that a filter selects are retried or cancelled, and no others."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from dispatcher.core import ids
from dispatcher.core.errors import ConflictError, InvalidError, NotFoundError
from dispatcher.core.model import Delivery
from dispatcher.engine.bulk import bulk_action_runner, step_loop
from dispatcher.services.audit.audit_log import Actor
from dispatcher.services.deliveries import bulk_actions as service
from dispatcher.services.deliveries.bulk_actions import BulkAction, BulkActions
from dispatcher.services.inputs.bulk_action_inputs import NewBulkAction
from dispatcher.store.connection.plan_settings import plan_settings
from dispatcher.store.pool import Pool
from dispatcher.store.queries.change_notices import ChangeNotices
from dispatcher.store.queries.deliveries import Deliveries
from dispatcher.store.session import Session
from tests.conftest import Connection, connected
from tests.store import rows
from tests.store.rows import FAILED, result

OURS = "env_default"
Start = Callable[..., Awaitable[BulkAction]]


def form(action: str = "retry", **wish: Any) -> NewBulkAction:
    outside = {name: wish.pop(name) for name in ("delivery_ids", "rate", "below") if name in wish}
    filters = {} if "delivery_ids" in outside else {"filters": wish}
    return NewBulkAction.model_validate({"action": action, **filters, **outside})


def later() -> datetime:
    """A time after everything that was made so far."""
    return datetime.now(UTC) + timedelta(seconds=5)


@pytest.fixture
async def session(dsn: str) -> AsyncIterator[Session]:
    """A session as the stage has it."""
    opened = Session(dsn, "upkeep", settings=plan_settings("upkeep"))
    yield opened
    await opened.close()


@pytest.fixture
def read(pool: Pool, actor: Actor) -> BulkActions:
    return BulkActions(pool, actor)


@pytest.fixture
def start(pool: Pool, actor: Actor, read: BulkActions) -> Start:
    async def begin(wish: NewBulkAction) -> BulkAction:
        now = later()
        counted = await read.count(OURS, wish, now)
        async with pool.transaction() as session:
            return await BulkActions(session, actor).start(OURS, wish, counted, now)

    return begin


@pytest.fixture
def run(session: Session, read: BulkActions) -> Callable[[BulkAction], Awaitable[BulkAction]]:
    """Run all steps of what is due."""

    async def until_none_is_due(action: BulkAction) -> BulkAction:
        runner = bulk_action_runner.BulkActionRunner(session)
        for _ in range(100):
            if await runner.run_once() > 0.0:
                return await read.get(OURS, action.id)
        raise AssertionError("it does not end")

    return until_none_is_due


async def some(
    connection: Connection, session: Session, count: int = 3, **wish: Any
) -> list[Delivery]:
    """Deliveries that failed, of one endpoint."""
    endpoint = await rows.endpoint(connection)
    made = [await rows.delivery(connection, endpoint, **wish) for _ in range(count)]
    await Deliveries(session).record([result(delivery, FAILED) for delivery in made])
    return made


async def queued_again(connection: Connection) -> set[int]:
    records = await connection.fetch(
        "SELECT delivery_id FROM dispatcher.inbox WHERE delivery_id IS NOT NULL"
    )
    return {row["delivery_id"] for row in records}


Run = Callable[[BulkAction], Awaitable[BulkAction]]


@pytest.mark.parametrize("step", [1, 2, 500])
async def test_filtered_deliveries_are_retried_and_no_others(
    connection: Connection,
    session: Session,
    start: Start,
    run: Run,
    step: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bulk_action_runner, "DELIVERIES_LIMIT", step)
    one, other = await some(connection, session, 3), await some(connection, session, 2)
    endpoint = await rows.endpoint(connection)
    well = await rows.delivery(connection, endpoint)
    await Deliveries(session).record([result(well)])
    pending = await rows.delivery(connection, endpoint)
    started = await start(form(status="FAILED"))
    assert (started.total, started.made, started.state) == (5, 0, "RUNNING")
    after = await some(connection, session, 1)
    await connection.execute(
        "UPDATE dispatcher.attempts SET delivery_id = delivery_id + $2 WHERE delivery_id = $1",
        after[0].id,
        60_000 << ids.TIME_SHIFT,
    )
    done = await run(started)
    assert (done.state, done.made, done.skipped, done.error) == ("DONE", 5, {}, None)
    assert done.finished_at is not None
    assert await queued_again(connection) == {delivery.id for delivery in (*one, *other)}
    assert [row["id"] for row in await rows.deliveries(connection)] == [pending.id]


async def test_the_filter_may_name_a_webhook_and_an_answer(
    connection: Connection, session: Session, start: Start, run: Run, read: BulkActions
) -> None:
    one, other = await some(connection, session, 2), await some(connection, session, 2)
    wish = form(webhook_id=one[0].endpoint_id, error_code="timeout")
    assert (await read.count(OURS, wish, later())).number == 2
    done = await run(await start(wish))
    assert (done.made, done.filters and done.filters.webhook_id) == (2, one[0].endpoint_id)
    assert await queued_again(connection) == {delivery.id for delivery in one}
    none = await start(form(webhook_id=other[0].endpoint_id, response_status="5xx"))
    assert (none.total, (await run(none)).made) == (0, 0)


async def test_pending_deliveries_are_made_due_or_cancelled(
    connection: Connection, session: Session, start: Start, run: Run
) -> None:
    endpoint = await rows.endpoint(connection)
    waiting = [await rows.delivery(connection, endpoint, due_in=3600.0) for _ in range(3)]
    done = await run(await start(form(status="PENDING")))
    assert done.made == 3
    due = await connection.fetchval(
        "SELECT count(*) FROM dispatcher.deliveries WHERE next_at <= now()"
    )
    notices = await connection.fetchval("SELECT count(*) FROM dispatcher.change_notices")
    assert (due, notices) == (3, 3)
    failed = await some(connection, session, 1)
    done = await run(await start(form("cancel")))
    assert (done.total, done.made, done.skipped) == (3, 3, {})
    ended = await connection.fetch(
        "SELECT delivery_id, error FROM dispatcher.attempts WHERE state = 'CANCELLED'"
    )
    assert {row["delivery_id"] for row in ended} == {delivery.id for delivery in waiting}
    assert {row["error"] for row in ended} == {"cancelled by hand"}
    assert failed[0].id not in {row["delivery_id"] for row in ended}
    assert await rows.deliveries(connection) == []


async def test_deliveries_that_cannot_be_retried_are_counted_by_reason(
    connection: Connection, session: Session, start: Start, run: Run
) -> None:
    disabled, deleted, dropped, well, often = [
        (await some(connection, session, 1))[0] for _ in range(5)
    ]
    await connection.execute(
        "UPDATE dispatcher.endpoints SET active = false WHERE id = $1", disabled.endpoint_id
    )
    await connection.execute(
        "UPDATE dispatcher.endpoints SET deleted_at = now() WHERE id = $1", deleted.endpoint_id
    )
    await connection.execute("DELETE FROM dispatcher.events WHERE id = $1", dropped.event_id)
    await connection.execute(
        "UPDATE dispatcher.attempts SET attempt = 30000 WHERE delivery_id = $1", often.id
    )
    done = await run(await start(form(status="FAILED")))
    assert done.state == "DONE"
    assert done.skipped == {"disabled": 1, "deleted": 1, "dropped": 1, "attempts": 1}
    assert done.made == 1
    assert await queued_again(connection) == {well.id}


async def test_named_deliveries_are_changed_whatever_their_state(
    connection: Connection, session: Session, start: Start, run: Run
) -> None:
    one, two, three = await some(connection, session, 3)
    names = [ids.delivery_name(delivery.id) for delivery in (one, two)]
    started = await start(form(delivery_ids=[*names, names[0], "dlv_1"]))
    assert (started.filters, started.total) == (None, 3)
    done = await run(started)
    assert (done.made, done.skipped) == (2, {"changed": 1})
    assert await queued_again(connection) == {one.id, two.id}
    assert three.id not in await queued_again(connection)


async def test_named_deliveries_are_in_the_audit_log_and_in_the_bulk_action(
    connection: Connection, session: Session, start: Start, read: BulkActions
) -> None:
    made = await some(connection, session, 2)
    names = [ids.delivery_name(delivery.id) for delivery in made]
    named, filtered = await start(form(delivery_ids=names)), await start(form(status="FAILED"))
    newest_first = tuple(reversed(names))
    assert (await read.get(OURS, named.id)).delivery_ids == newest_first
    assert (await read.get(OURS, filtered.id)).delivery_ids is None
    entries = await connection.fetch("SELECT subject, detail FROM dispatcher.audit")
    details = {row["subject"]: orjson.loads(row["detail"]) for row in entries}
    assert details[named.id]["ids"] == list(newest_first)
    assert "ids" not in details[filtered.id]


async def test_a_delivery_that_has_changed_since_is_left_alone(
    connection: Connection, session: Session, start: Start, run: Run
) -> None:
    (one,) = await some(connection, session, 1)
    started = await start(form(status="FAILED"))
    await rows.directed(connection, one.event_id, one.endpoint_id, delivery_id=one.id, attempt=1)
    done = await run(started)
    assert (done.made, len(await queued_again(connection))) == (0, 1)


async def test_a_rate_makes_small_steps(
    connection: Connection, session: Session, start: Start
) -> None:
    await some(connection, session, 3)
    await start(form(status="FAILED", rate=1))
    runner = bulk_action_runner.BulkActionRunner(session)
    assert await runner.run_once() == 0.0
    assert 0.0 < await runner.run_once() <= 1.0
    assert len(await queued_again(connection)) == 1


@pytest.mark.parametrize("action", ["retry", "cancel"])
async def test_no_step_waits_for_a_delivery_that_is_being_recorded(
    connection: Connection, session: Session, start: Start, run: Run, read: BulkActions, action: str
) -> None:
    endpoint = await rows.endpoint(connection)
    old, held, new = [await rows.delivery(connection, endpoint, due_in=3600.0) for _ in range(3)]
    started = await start(form(action))
    hold = "SELECT FROM dispatcher.deliveries WHERE id = $1 FOR UPDATE"
    async with asyncio.timeout(30), connection.transaction():
        await connection.execute(hold, held.id)
        assert (await run(started)).made == 1
        for delivery in (old, new):  # no lock is kept, so the recorder does not wait either
            await connection.execute(hold, delivery.id)
    await connection.execute("UPDATE dispatcher.bulk_actions SET next_at = now()")
    done = await run(started)
    assert (done.state, done.made, done.skipped) == ("DONE", 3, {})


async def test_what_leaves_the_inbox_during_a_step_is_cancelled(
    connection: Connection, dsn: str, session: Session, start: Start, run: Run
) -> None:
    (one,) = await some(connection, session, 1)
    await rows.directed(connection, one.event_id, one.endpoint_id, delivery_id=one.id, attempt=1)
    started = await start(form("cancel"))
    async with connected(dsn) as fanout:
        async with fanout.transaction():
            await rows.leave_inbox(fanout)
            running = asyncio.ensure_future(run(started))
            await rows.any_waits_for_lock(connection)
        done = await running
    assert (done.state, done.made, done.skipped) == ("DONE", 1, {})
    assert await connection.fetchval("SELECT count(*) FROM dispatcher.deliveries") == 0


async def test_a_bulk_action_waits_while_the_inbox_is_full(
    connection: Connection,
    session: Session,
    start: Start,
    read: BulkActions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bulk_action_runner, "ROWS_LIMIT", 1)
    one, _ = await some(connection, session, 2)
    await rows.directed(connection, one.event_id, one.endpoint_id, delivery_id=1)
    started = await start(form(status="FAILED"))
    runner = bulk_action_runner.BulkActionRunner(session)
    assert await runner.run_once() == 0.0
    assert 0.0 < await runner.run_once() <= 0.5
    waiting = await read.get(OURS, started.id)
    assert (waiting.state, waiting.made) == ("RUNNING", 0)


@pytest.mark.parametrize("action", ["retry", "cancel"])
async def test_a_bulk_action_waits_while_daemons_apply_change_notices(
    connection: Connection,
    session: Session,
    start: Start,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    action: str,
) -> None:
    monkeypatch.setattr(bulk_action_runner, "NOTICES_LIMIT", 1)
    one = await rows.delivery(connection, await rows.endpoint(connection), due_in=3600.0)
    started = await start(form(action))
    await ChangeNotices(session).add([one])
    waiting = await run(started)
    assert (waiting.state, waiting.made) == ("RUNNING", 0)
    await connection.execute("DELETE FROM dispatcher.change_notices")
    await connection.execute("UPDATE dispatcher.bulk_actions SET next_at = now()")
    done = await run(started)
    assert (done.state, done.made) == ("DONE", 1)


async def test_a_bulk_action_can_be_cancelled_and_is_listed(
    connection: Connection,
    session: Session,
    pool: Pool,
    actor: Actor,
    start: Start,
    run: Run,
    read: BulkActions,
) -> None:
    await some(connection, session, 1)
    started, other = await start(form(status="FAILED")), await start(form("cancel"))
    async with pool.transaction() as opened:
        cancelled = await BulkActions(opened, actor).cancel(OURS, started.id)
    assert (cancelled.state, cancelled.made) == ("CANCELLED", 0)
    assert (await run(other)).state == "DONE"
    assert await queued_again(connection) == set()
    async with pool.transaction() as opened:
        with pytest.raises(ConflictError, match="Only a running one"):
            await BulkActions(opened, actor).cancel(OURS, other.id)
    page = await read.list(OURS, limit=1)
    assert ([action.id for action in page.items], page.next is not None) == ([other.id], True)
    page = await read.list(OURS, before=page.next)
    assert ([action.id for action in page.items], page.next) == ([started.id], None)
    for unknown in ("blk_1", "nonsense"):
        with pytest.raises(NotFoundError):
            await read.get(OURS, unknown)
    with pytest.raises(NotFoundError):
        await read.get("env_other", started.id)
    actions = await connection.fetch("SELECT action FROM dispatcher.audit ORDER BY id")
    assert [row["action"] for row in actions] == [
        "delivery.retry_many",
        "delivery.cancel_many",
        "delivery.cancel_bulk_action",
    ]


async def test_what_cannot_apply_is_refused_before_it_starts(
    connection: Connection, session: Session, start: Start, read: BulkActions
) -> None:
    await some(connection, session, 1)
    with pytest.raises(InvalidError, match="only pending deliveries can be cancelled"):
        await start(form("cancel", status="FAILED"))
    with pytest.raises(InvalidError, match="must be ids of deliveries"):
        await start(form(delivery_ids=["dlv_9999999999999999999"]))
    with pytest.raises(NotFoundError, match="There is no webhook"):
        await start(form(webhook_id="00000000-0000-4000-8000-000000000009"))
    for _ in range(service.RUNNING_LIMIT):
        await start(form())
    with pytest.raises(ConflictError, match="Wait until one ends"):
        await start(form())


async def test_no_more_bulk_actions_run_than_allowed_even_if_they_start_at_once(
    connection: Connection, dsn: str, actor: Actor, read: BulkActions
) -> None:
    sessions = [Session(dsn, "test") for _ in range(service.RUNNING_LIMIT + 4)]
    begun = asyncio.Barrier(len(sessions))
    counted = await read.count(OURS, form(), later())

    async def begin(session: Session) -> bool:
        async with session.transaction() as opened:
            await begun.wait()
            try:
                await BulkActions(opened, actor).start(OURS, form(), counted, later())
            except ConflictError:
                return False
            return True

    started = await asyncio.gather(*map(begin, sessions))
    assert sum(started) == service.RUNNING_LIMIT
    assert len((await read.list(OURS)).items) == service.RUNNING_LIMIT
    for session in sessions:
        await session.close()


async def test_counting_stops_at_a_limit(
    connection: Connection, session: Session, read: BulkActions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "COUNT_LIMIT", 2)
    monkeypatch.setattr(service, "COUNT_STEP_LIMIT", 1)
    made = await some(connection, session, 4)
    counted = await read.count(OURS, form(status="FAILED"), later())
    assert (counted.number, counted.more) == (2, True)
    narrowed = form(status="FAILED").model_copy(update={"below": ids.delivery_name(made[2].id)})
    assert (await read.count(OURS, narrowed, later())).more is False


async def test_a_step_that_fails_for_its_data_is_tried_again_and_then_given_up(
    connection: Connection,
    session: Session,
    start: Start,
    run: Run,
    read: BulkActions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await some(connection, session, 1)
    started = await start(form(status="FAILED"))
    monkeypatch.setattr(step_loop, "FAILURES_LIMIT", 1)
    await connection.execute(
        """CREATE FUNCTION dispatcher.refuse() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN RAISE data_exception; END $$;
           CREATE TRIGGER refuse BEFORE INSERT ON dispatcher.inbox_directed EXECUTE FUNCTION dispatcher.refuse()"""
    )
    done = await run(started)
    assert done.state == "FAILED"
    assert done.error is not None
