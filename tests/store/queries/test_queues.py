"""Which queues have work that is due."""

import pytest

from dispatcher.store.queries.queues import Queues
from dispatcher.store.session import Session
from tests.conftest import Connection
from tests.store import rows

LATER = "now() + interval '1 hour'"
REPLAY = (
    "INSERT INTO dispatcher.replays (environment_id, endpoint_id, since, until, missed, position, next_at)"
    " VALUES ('env_default', $1, now(), now(), true, 0, {0})"
)
BULK_ACTION = (
    "INSERT INTO dispatcher.bulk_actions (environment_id, action, criteria, position, next_at)"
    " VALUES ('env_default', 'retry', '{{}}', 0, {0})"
)
UNVALIDATED = "INSERT INTO dispatcher.unvalidated_events VALUES (8, 'env_default', 'user.created')"


async def with_work(session: Session, after_id: int = 0) -> set[str]:
    queues = await Queues(session).waiting(after_id=after_id)
    return {queue for queue, has_work in queues.items() if has_work}


async def test_an_empty_queue_has_no_work(session: Session) -> None:
    assert await with_work(session) == set()


async def test_events_are_work_above_the_id_from_which_the_inbox_is_read(
    connection: Connection, session: Session
) -> None:
    event = await rows.event(connection)
    assert await with_work(session, event - 1) == {"inbox"}
    assert await with_work(session, event) == set()


@pytest.mark.parametrize(
    ("insert", "queue"),
    [
        (UNVALIDATED, "unvalidated_events"),
        (BULK_ACTION.format("now()"), "bulk_actions"),
        (BULK_ACTION.format(LATER), None),
    ],
)
async def test_rows_that_are_due_are_work(
    connection: Connection, session: Session, insert: str, queue: str | None
) -> None:
    await connection.execute(insert)
    assert await with_work(session) == ({queue} if queue else set())


@pytest.mark.parametrize(("next_at", "queues"), [("now()", {"replays"}), (LATER, set())])
async def test_a_replay_is_work_when_its_step_is_due(
    connection: Connection, session: Session, next_at: str, queues: set[str]
) -> None:
    endpoint = await rows.endpoint(connection)
    await connection.execute(REPLAY.format(next_at), endpoint)
    assert await with_work(session) == queues
    await connection.execute("UPDATE dispatcher.replays SET state = 'DONE'")
    assert await with_work(session) == set()
