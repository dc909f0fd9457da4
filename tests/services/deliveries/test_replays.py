"""Recoveries as people ask for them."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import ValidationError

from dispatcher.core.errors import ConflictError, InvalidError, NotFoundError
from dispatcher.services.audit.audit_log import Actor
from dispatcher.services.deliveries import replays
from dispatcher.services.deliveries.replays import Preview, Recovery, Replays
from dispatcher.services.inputs.replay_inputs import NewRecovery
from dispatcher.store.pool import Pool
from dispatcher.store.queries import replays as stored
from dispatcher.store.queries.deliveries import Deliveries
from dispatcher.store.session import Session
from tests.conftest import Connection
from tests.store import rows

ENVIRONMENT = "env_default"
SINCE = datetime(2024, 1, 2, tzinfo=UTC)


class Desk:
    """Recoveries of the default environment, a transaction a call."""

    def __init__(self, pool: Pool, actor: Actor) -> None:
        self.pool = pool
        self.actor = actor

    async def preview(self, webhook: UUID, **of: Any) -> Preview:
        form = NewRecovery(**{"since": SINCE, **of})
        return await Replays(self.pool, self.actor).preview(ENVIRONMENT, webhook, form)

    async def start(self, webhook: UUID, environment: str = ENVIRONMENT, **of: Any) -> Recovery:
        form = NewRecovery(**{"since": SINCE, **of})
        async with self.pool.transaction() as session:
            return await Replays(session, self.actor).start(environment, webhook, form)

    async def cancel(self, webhook: UUID, recovery: str) -> Recovery:
        async with self.pool.transaction() as session:
            return await Replays(session, self.actor).cancel(ENVIRONMENT, webhook, recovery)

    async def get(self, webhook: UUID, recovery: str, environment: str = ENVIRONMENT) -> Recovery:
        return await Replays(self.pool, self.actor).get(environment, webhook, recovery)

    async def step(self) -> None:
        """A step of the replay that is due, of two deliveries."""
        async with self.pool.transaction() as session:
            replays = stored.Replays(session)
            claimed = await replays.claim(waiting=100, pending=100)
            assert claimed is not None
            await replays.step(claimed, look=100, make=2, waiting=100, pending=100)


@pytest.fixture
def desk(pool: Pool, actor: Actor) -> Desk:
    return Desk(pool, actor)


async def failed(dsn: str, connection: Connection, webhook: UUID, count: int) -> None:
    session = Session(dsn, "test")
    for _ in range(count):
        made = await rows.delivery(connection, webhook)
        await Deliveries(session).record([rows.result(made, rows.FAILED)])
    await session.close()


async def emitted(connection: Connection, count: int) -> None:
    """Events that were fanned out to no endpoint."""
    for _ in range(count):
        await rows.event(connection)
    await connection.execute("DELETE FROM dispatcher.inbox")


async def test_a_preview_counts_by_kind_and_changes_nothing(
    dsn: str, connection: Connection, desk: Desk
) -> None:
    webhook = await rows.endpoint(connection, "*")
    await failed(dsn, connection, webhook, 2)
    await emitted(connection, 3)
    seen = await desk.preview(webhook)
    assert (seen.failed, seen.missed, seen.more, seen.since) == (2, 3, False, SINCE)
    assert seen.until <= datetime.now(UTC)
    assert (await desk.preview(webhook, missed=False)).missed == 0
    assert await connection.fetchval("SELECT count(*) FROM dispatcher.replays") == 0
    assert await connection.fetchval("SELECT count(*) FROM dispatcher.audit") == 0


@pytest.mark.parametrize(
    ("limit", "least"), [("COUNT_LIMIT", 2), ("COUNT_SECONDS", 0)], ids=["too many", "too long"]
)
async def test_counting_stops_at_a_limit_and_reports_that_there_may_be_more(
    connection: Connection, desk: Desk, monkeypatch: pytest.MonkeyPatch, limit: str, least: int
) -> None:
    webhook = await rows.endpoint(connection, "*")
    await emitted(connection, 9)
    monkeypatch.setattr(replays, "COUNT_LIMIT_ROWS", 2)
    assert ((await desk.preview(webhook)).missed, (await desk.preview(webhook)).more) == (9, False)
    monkeypatch.setattr(replays, limit, least)
    seen = await desk.preview(webhook)
    assert (seen.missed, seen.more) == (2, True)
    assert (await desk.start(webhook)).total is None


async def test_starting_a_replay_returns_its_counts_and_is_audited(
    dsn: str, connection: Connection, desk: Desk
) -> None:
    webhook = await rows.endpoint(connection, "*")
    await failed(dsn, connection, webhook, 2)
    await emitted(connection, 1)
    until = datetime.now(UTC) - timedelta(minutes=1)
    started = await desk.start(webhook, until=until, rate=7)
    assert (started.webhook_id, started.state, started.made, started.total) == (
        webhook,
        "RUNNING",
        0,
        0,
    )
    assert (started.since, started.until, started.reached) == (SINCE, until, SINCE)
    assert (started.missed, started.rate, started.finished_at) == (True, 7, None)
    assert await desk.get(webhook, started.id) == started
    (entry,) = await connection.fetch("SELECT * FROM dispatcher.audit")
    assert (entry["actor"], entry["action"], entry["subject"], entry["environment_id"]) == (
        desk.actor.name,
        "webhook.recover",
        str(webhook),
        ENVIRONMENT,
    )
    assert json.loads(entry["detail"])["recovery"] == started.id


async def test_a_running_replay_shows_its_progress(connection: Connection, desk: Desk) -> None:
    webhook = await rows.endpoint(connection, "*")
    await emitted(connection, 3)
    started = await desk.start(webhook)
    assert started.total == 3
    await desk.step()
    halfway = await desk.get(webhook, started.id)
    assert (halfway.state, halfway.made) == ("RUNNING", 2)
    assert started.reached < halfway.reached < started.until
    await desk.step()
    over = await desk.get(webhook, started.id)
    assert (over.state, over.made, over.reached) == ("DONE", 3, over.until)
    assert over.finished_at is not None


async def test_an_end_in_the_future_is_moved_to_now(connection: Connection, desk: Desk) -> None:
    webhook = await rows.endpoint(connection, "*")
    started = await desk.start(webhook, until=datetime.now(UTC) + timedelta(days=1))
    assert started.until <= datetime.now(UTC)


async def test_a_start_in_the_future_is_refused(connection: Connection, desk: Desk) -> None:
    webhook = await rows.endpoint(connection, "*")
    with pytest.raises(InvalidError, match="since: must be in the past"):
        await desk.start(webhook, since=datetime.now(UTC) + timedelta(hours=1))


async def test_one_replay_runs_at_a_time_and_none_for_a_disabled_webhook(
    connection: Connection, desk: Desk
) -> None:
    webhook = await rows.endpoint(connection, "*")
    disabled = await rows.endpoint(connection, "*", active=False)
    first = await desk.start(webhook)
    with pytest.raises(ConflictError, match="running"):
        await desk.start(webhook)
    await desk.cancel(webhook, first.id)
    assert (await desk.start(webhook)).id != first.id
    with pytest.raises(ConflictError, match="disabled"):
        await desk.start(disabled)
    assert (await desk.preview(disabled)).missed == 0, "one may look"


async def test_an_object_of_another_environment_is_unknown(
    connection: Connection, desk: Desk
) -> None:
    await rows.environment(connection, "elsewhere")
    webhook, deleted = (
        await rows.endpoint(connection),
        await rows.endpoint(connection, deleted=True),
    )
    started = await desk.start(webhook)
    for wrong in (uuid4(), deleted):
        with pytest.raises(NotFoundError):
            await desk.start(wrong)
    with pytest.raises(NotFoundError):
        await desk.start(webhook, "elsewhere")
    with pytest.raises(NotFoundError):
        await desk.get(webhook, started.id, "elsewhere")
    for wrong_id in (
        "rec_1",
        "evt_1",
        "nonsense",
        started.id + "0" * 9,
        started.id.replace("rec", "dlv"),
    ):
        with pytest.raises(NotFoundError):
            await desk.get(webhook, wrong_id)
        with pytest.raises(NotFoundError):
            await desk.cancel(webhook, wrong_id)


async def test_cancelling_a_replay_is_audited_once_and_an_ended_one_is_refused(
    connection: Connection, desk: Desk
) -> None:
    webhook = await rows.endpoint(connection, "*")
    started = await desk.start(webhook)
    cancelled = await desk.cancel(webhook, started.id)
    assert cancelled.state == "CANCELLED"
    assert cancelled.finished_at is not None
    assert await desk.cancel(webhook, started.id) == cancelled
    actions = await connection.fetch("SELECT action FROM dispatcher.audit ORDER BY id")
    assert [row["action"] for row in actions] == ["webhook.recover", "webhook.cancel_recovery"]
    again = await desk.start(webhook)
    await desk.step()
    with pytest.raises(ConflictError, match="DONE"):
        await desk.cancel(webhook, again.id)


async def test_a_listing_is_newest_first_page_by_page(connection: Connection, desk: Desk) -> None:
    webhook, other = await rows.endpoint(connection), await rows.endpoint(connection)
    started = []
    for _ in range(3):
        started.append((await desk.start(webhook)).id)
        await desk.cancel(webhook, started[-1])
    await desk.start(other)
    service, seen, before = Replays(desk.pool, desk.actor), [], None
    while True:
        page = await service.list(ENVIRONMENT, webhook, before=before, limit=2)
        seen += [item.id for item in page.items]
        if page.next is None:
            break
        before = page.next
    assert seen == started[::-1]


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"since": "2026-01-01T00:00:00"},
        {"since": "yesterday"},
        {"since": "2026-01-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"},
        {"since": "2026-01-01T00:00:00Z", "rate": 0},
        {"since": "2026-01-01T00:00:00Z", "rate": 1.5},
        {"since": "2026-01-01T00:00:00Z", "missed": "yes"},
        {"since": "2026-01-01T00:00:00Z", "state": "DONE"},
    ],
)
def test_an_invalid_form_is_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        NewRecovery.model_validate_json(json.dumps(asked))


def test_a_form_accepts_both_spellings_of_its_fields() -> None:
    form = NewRecovery.model_validate_json('{"since": "2026-01-01T00:00:00+01:00", "dryRun": true}')
    assert (form.dry_run, form.missed, form.rate, form.until) == (True, True, None, None)
    assert form.since == datetime(2025, 12, 31, 23, tzinfo=UTC)
